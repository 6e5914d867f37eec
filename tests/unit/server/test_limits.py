"""Rate limits and the form of logs and metrics."""

import json
import logging
from collections.abc import Callable, Iterator
from io import StringIO

import pytest

from fhir_cds.server.errors import HttpError
from fhir_cds.server.limits import BUCKETS, RateLimit
from fhir_cds.server.logs import BENEATH, JsonFormatter, configure
from fhir_cds.server.metrics import Metrics


def test_bucket_empties_and_refills() -> None:
    """As many calls as the rate, then one per interval; Retry-After says when."""
    limit = RateLimit(2)
    limit.take("a", 0.0)
    limit.take("a", 0.0)
    with pytest.raises(HttpError) as caught:
        limit.take("a", 0.0)
    assert caught.value.http_status == 429
    assert caught.value.headers == {"Retry-After": "30"}
    limit.take("a", 30.0)
    with pytest.raises(HttpError):
        limit.take("a", 30.0)


def test_callers_do_not_share() -> None:
    """Each caller has its own bucket, and may have its own rate."""
    limit = RateLimit(1, {"b": 2})
    limit.take("a", 0.0)
    limit.take("b", 0.0)
    limit.take("b", 0.0)
    with pytest.raises(HttpError):
        limit.take("a", 0.0)


def test_buckets_are_bounded() -> None:
    """Many names do not fill the memory."""
    limit = RateLimit(1)
    for number in range(BUCKETS + 5):
        limit.take(str(number), 0.0)
    assert len(limit._buckets) == BUCKETS


def record(message: object, **extra: object) -> logging.LogRecord:
    """Return a log record."""
    made = logging.LogRecord("fhir_cds.x", logging.INFO, "f", 1, message, None, None)
    made.__dict__.update(extra)
    return made


def test_logs_hold_named_fields_only() -> None:
    """A field nobody named does not reach the log."""
    line = json.loads(JsonFormatter().format(record("answered", service="s", cards=2, patient="Planted")))
    assert line["message"] == "answered"
    assert (line["service"], line["cards"]) == ("s", 2)
    assert "Planted" not in json.dumps(line)


def test_exceptions_show_their_type_only() -> None:
    """The text of an exception may hold data; its type does not."""
    try:
        int("Planted")
    except ValueError as error:
        made = record("failed")
        made.exc_info = (type(error), error, error.__traceback__)
    line = JsonFormatter().format(made)
    assert "ValueError" in line
    assert "Planted" not in line


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], str]]:
    """Configure the logs as the service does, give what they have written, and put back what was there."""
    names = ("fhir_cds", *BENEATH)
    before = [(log.handlers[:], log.level, log.propagate) for log in map(logging.getLogger, names)]
    error = StringIO()
    monkeypatch.setattr("sys.stderr", error)
    configure("info")
    yield error.getvalue
    for log, (handlers, level, propagate) in zip(map(logging.getLogger, names), before, strict=True):
        log.handlers[:], log.propagate = handlers, propagate
        log.setLevel(level)


def test_what_the_server_beneath_says_is_json_without_values(written: Callable[[], str]) -> None:
    """Lines of uvicorn and asyncio have the form of ours; objects and arguments, which may hold anything, are not."""
    logging.getLogger("uvicorn.error").error("refused %s", "Planted")
    logging.getLogger("asyncio").error("Task exception was never retrieved\nfuture: Planted")
    lines = [json.loads(line) for line in written().splitlines()]
    assert [line["message"] for line in lines] == ["refused %s", "Task exception was never retrieved"]
    assert "Planted" not in json.dumps(lines)


def test_metrics_text() -> None:
    """Calls are counted by route and status."""
    metrics = Metrics()
    metrics.call("/cds-services/{service}", 200, 0.004)
    text = metrics.text().decode()
    assert 'fhir_cds_calls_total{route="/cds-services/{service}",status="200"} 1.0' in text
    assert 'fhir_cds_call_seconds_bucket{le="0.005",route="/cds-services/{service}"} 1.0' in text
