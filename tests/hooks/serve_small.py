"""A service with one entry and no logic, for tests that need a process of their own."""

import os
import socket
import sys

import uvicorn

from fhir_cds.knowledge.load import Knowledge
from fhir_cds.knowledge.registry import Registry
from fhir_cds.knowledge.service import service_of
from fhir_cds.reasoning.engine import Engine
from fhir_cds.server import state
from fhir_cds.server.app import create_app
from fhir_cds.server.settings import load

PLAN = {"resourceType": "PlanDefinition", "id": "p", "url": "https://e.org/p", "status": "active"}
ENTRY = {
    "hook": "patient-view",
    "id": "svc",
    "title": "t",
    "description": "d",
    "extension": {"org.fhir-cds.plans": ["https://e.org/p"]},
}


class NoProgram:
    """Compiled logic without any library."""

    libraries = ()

    def evaluate(self, *_args: object) -> None:
        """Evaluate nothing."""


def content() -> state.Loaded:
    """Return content with one plan that says nothing."""
    registry = Registry.of([("p.json", PLAN)])
    knowledge = Knowledge(registry, {}, (service_of(ENTRY, "hooks/svc.json"),))
    return state.derive(knowledge, state.utc_now, Engine.of(registry, NoProgram()))


def run_again_and_again() -> None:
    """For each line read, serve in a process of its own until it is killed: forked, so that each starts at once."""
    for _ in sys.stdin:
        child = os.fork()
        if child == 0:
            run()
            os._exit(0)
        os.waitpid(child, 0)
        print("gone", flush=True)  # noqa: T201


def run() -> None:
    """Serve on a free port; print the address of the feedback endpoint and the id of the process first."""
    bound = socket.socket()
    bound.bind(("127.0.0.1", 0))
    bound.listen()
    app = create_app(content(), load())
    print(f"http://127.0.0.1:{bound.getsockname()[1]}/cds-services/svc/feedback {os.getpid()}", flush=True)  # noqa: T201
    uvicorn.Server(uvicorn.Config(app, log_level="error", access_log=False)).run(sockets=[bound])
