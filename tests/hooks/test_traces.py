"""OpenTelemetry traces: what spans hold, what they never hold, and that nothing is loaded when they are off."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import conftest
import ehr
import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from starlette.applications import Starlette
from starlette.testclient import TestClient

from fhir_cds.server.app import create_app
from fhir_cds.server.settings import Settings
from fhir_cds.server.state import Loaded
from fhir_cds.server.traces import Collected

SERVICE = "sarcoma-follow-up"
PATIENT = "after-resection-one-overdue"
PARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
Traced = tuple[TestClient, InMemorySpanExporter]


@pytest.fixture
def traced(content: Loaded, tmp_path: Path) -> Iterator[Traced]:
    """Return a client of a service whose spans stay in memory."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    settings = Settings(feedback_url=f"sqlite:///{tmp_path}/f.sqlite3")
    app = create_app(content, settings, clock=conftest.clock, traces=Collected(provider))
    with TestClient(app, base_url="http://localhost", raise_server_exceptions=False) as client:
        yield client, exporter


def spans(exporter: InMemorySpanExporter) -> dict[str, Any]:
    """Return the finished spans as JSON, by name."""
    return {span.name: json.loads(span.to_json()) for span in exporter.get_finished_spans()}


def test_a_call_and_its_steps(traced: Traced) -> None:
    """A call is one span under the caller's trace, named by its route, with its steps inside it."""
    client, exporter = traced
    call = ehr.request(client, PATIENT, SERVICE)
    exporter.clear()
    assert ehr.post(client, SERVICE, call, headers={"traceparent": PARENT}).status_code == 200
    found = spans(exporter)
    whole = found["POST /cds-services/{service}"]
    assert whole["context"]["trace_id"].endswith(PARENT.split("-")[1])
    assert whole["attributes"]["http.response.status_code"] == 200
    for step in ("gather", "advise"):
        assert found[step]["parent_id"] == whole["context"]["span_id"]
    assert found["gather"]["attributes"]["fhir_cds.service"] == SERVICE
    assert found["advise"]["attributes"]["fhir_cds.resources"] > 3


def test_nothing_of_patient_or_token(
    traced: Traced, serve: Callable[[Starlette], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Planted ids, texts, tokens and error messages are in no span, whether the call succeeds or fails."""
    client, exporter = traced
    call = ehr.request(client, PATIENT, SERVICE)
    text = json.dumps(json.loads(ehr.codec.encode(call))).replace("elif", "planted-elif")
    planted = json.loads(text) | {"fhirServer": "http://127.0.0.1:9/planted"}
    token = {"access_token": "planted", "token_type": "Bearer", "expires_in": 1, "scope": "planted", "subject": "s"}
    headers = {"authorization": "Bearer planted", "x-planted": "planted", "traceparent": "planted"}
    assert ehr.post(client, SERVICE, planted | {"fhirAuthorization": token}, headers=headers).status_code == 200
    assert ehr.post(client, SERVICE, planted | {"prefetch": {}}, headers=headers).status_code == 412
    assert client.get("/fhir/PlanDefinition?title=planted").status_code == 200
    assert client.get("/planted/planted-elif").status_code == 404

    def broken(*_args: Any) -> None:
        raise RuntimeError("planted")

    monkeypatch.setattr("fhir_cds.server.cds_hooks.advise", broken)
    assert ehr.post(client, SERVICE, planted, headers=headers).status_code == 500
    finished = exporter.get_finished_spans()
    assert "planted" not in "".join(span.to_json() for span in finished).lower()
    failed = [json.loads(span.to_json()) for span in finished if span.name == "advise"][-1]
    assert failed["attributes"]["fhir_cds.error"] == "RuntimeError"
    assert {span.attributes["http.response.status_code"] for span in finished if "http.route" in span.attributes} == {
        *(200, 404, 412, 500)
    }


def test_attributes_are_a_closed_list() -> None:
    """A value that nobody thought about cannot become an attribute."""
    with pytest.raises(ValueError, match="patient"), Collected(TracerProvider()).span("x", patient="p"):
        pass


def test_nothing_is_loaded_when_off(tmp_path: Path) -> None:
    """Without trace_url the service does not even import OpenTelemetry."""
    script = (
        "import sys, serve_small\n"
        "from fhir_cds.server.app import create_app\n"
        "from fhir_cds.server.settings import Settings\n"
        f"app = create_app(serve_small.content(), Settings(feedback_url='sqlite:///{tmp_path}/f.sqlite3'))\n"
        "assert not [name for name in sys.modules if name.startswith('opentelemetry')]\n"
        "app.state.fhir_cds.audit.close()\n"
    )
    command = [sys.executable, "-c", script]
    environment = {"PYTHONPATH": f"{ehr.ROOT}:{Path(__file__).parent}"}
    ended = subprocess.run(command, env=environment, capture_output=True, timeout=120, check=False)
    assert ended.returncode == 0, ended.stderr.decode()


def test_spans_are_exported(serve: Callable[[Starlette], str], content: Loaded, tmp_path: Path) -> None:
    """With trace_url spans arrive at that OTLP address, at the latest when the service stops."""
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import Route

    received: list[bytes] = []

    async def collect(request: Request) -> Response:
        received.append(await request.body())
        return Response(status_code=200)

    collector = serve(Starlette(routes=[Route("/v1/traces", collect, methods=["POST"])]))
    settings = Settings(feedback_url=f"sqlite:///{tmp_path}/f.sqlite3", trace_url=f"{collector}/v1/traces")
    with TestClient(create_app(content, settings), base_url="http://localhost") as client:
        assert client.get("/cds-services").status_code == 200
    assert any(b"GET /cds-services" in body or body[:2] == b"\x1f\x8b" for body in received)
