"""schemathesis against the OpenAPI document over real HTTP: no 5xx, no status, header or body it does not describe.

CI sends a few requests per operation. `FHIR_CDS_FUZZ_EXAMPLES=320 ./dev test tests/hooks/test_openapi_fuzz.py -s` sends
more than 10,000 and prints how many of each status came back.
"""

import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import conftest
import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import APIOperation, Case, GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi import checks
from starlette.applications import Starlette

from fhir_cds.server.app import create_app
from fhir_cds.server.settings import Settings
from fhir_cds.server.state import Loaded

EXAMPLES = int(os.environ.get("FHIR_CDS_FUZZ_EXAMPLES", "4"))
CHECKS = [
    not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_headers_conformance,
    checks.response_schema_conformance,
    checks.negative_data_rejection,
    checks.unsupported_method,
]
"""Not among them: that data which meet the schema are accepted. A call can meet it and still lack needed data (412)."""


@pytest.fixture
def base(content: Loaded, serve: Callable[[Starlette], str], tmp_path: Path) -> str:
    """Return the address of the service, with no limit on the rate of calls."""
    limits = Settings(feedback_url=f"sqlite:///{tmp_path}/f.sqlite3", rate_per_minute=10_000_000)
    return serve(create_app(content, limits, clock=conftest.clock))


def fuzz(operation: APIOperation, mode: GenerationMode, base: str, session: requests.Session) -> Counter[int]:
    """Return how often each status came; raises what schemathesis finds wrong, with the request that shows it."""
    statuses: Counter[int] = Counter()

    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate],
    )
    @given(case=operation.as_strategy(generation_mode=mode))
    def send(case: Case) -> None:
        answer = case.call(session=session, base_url=base)
        statuses[answer.status_code] += 1
        case.validate_response(answer, checks=CHECKS)

    try:
        send()
    except Unsatisfiable:  # an operation without parameters and body has no wrong form
        assert mode is GenerationMode.NEGATIVE
        assert not operation.body
    return statuses


@pytest.mark.filterwarnings("ignore::hypothesis.errors.HypothesisWarning", "ignore::DeprecationWarning")
def test_every_operation(base: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Whatever is sent, right or wrong by the schema, every answer is one that the document describes."""
    schema = schemathesis.openapi.from_url(f"{base}/openapi.json")
    statuses: Counter[int] = Counter()
    with requests.Session() as session:
        for result in schema.get_all_operations():
            for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):
                statuses += fuzz(result.ok(), mode, base, session)
    with capsys.disabled():
        listed = ", ".join(f"{number} with {status}" for status, number in sorted(statuses.items()))
        if EXAMPLES > 100:
            print(f"\n{statuses.total()} requests: {listed}")  # noqa: T201
    assert {200, 400, 404, 412} <= statuses.keys()
    assert statuses.total() > 30 * EXAMPLES
