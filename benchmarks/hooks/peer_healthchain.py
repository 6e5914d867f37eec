"""A HealthChain service that evaluates nothing: validates the request, answers with one fixed card."""

import socket

import uvicorn
from healthchain.gateway import CDSHooksService, HealthChainAPI
from healthchain.models import CDSRequest, CDSResponse
from healthchain.models.responses.cdsresponse import Card, Source

service = CDSHooksService(use_events=False)
CARD = Card(summary="fixed", indicator="info", source=Source(label="peer"), detail="x" * 2000)


@service.hook("patient-view", id="fixed")
def fixed(_request: CDSRequest) -> CDSResponse:
    """Answer with the fixed card."""
    return CDSResponse(cards=[CARD])


app = HealthChainAPI()
app.register_service(service, path="/cds")
bound = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
bound.bind(("127.0.0.1", 0))
print(f"http://127.0.0.1:{bound.getsockname()[1]}/cds/cds-services/fixed", flush=True)
uvicorn.Server(uvicorn.Config(app, access_log=False, log_level="error")).run(sockets=[bound])
