"""cql-execution over the libraries, value sets and records that this engine had, in one run of Node.js."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec

from fhir_cds.cql import Code, Concept, Date, DateTime, Interval, Long, Quantity, Ratio, Time, Uncertainty
from fhir_cds.cql.runtime.typed import Typed
from fhir_cds.fhir import codec

HELPERS = "FHIRHelpers"
ERROR = "error"
Json = dict[str, Any]
Answers = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class PeerRun:
    """What cql-execution said: answers by record and "Library.define", CPU seconds of one pass, version of Node.js."""

    answers: Answers
    cpu: float
    node: str


def bundle(resources: Sequence[Json]) -> Json:
    """Return a record as the Bundle that cql-exec-fhir reads."""
    return {"resourceType": "Bundle", "type": "collection", "entry": [{"resource": item} for item in resources]}


def run(
    modules: Path,
    elm: Mapping[str, Json],
    valuesets: Mapping[str, Iterable[tuple[str, str]]],
    records: Mapping[str, Sequence[Json]],
    now: str,
) -> PeerRun:
    """Let cql-execution evaluate every define of every library (`elm`: name -> {"library": …}) for each record."""
    made = {
        "libraries": {name: {"library": document["library"]} for name, document in elm.items()},
        "evaluated": [name for name in elm if name != HELPERS],
        "valuesets": {url: sorted(codes) for url, codes in valuesets.items()},
        "patients": {name: bundle(resources) for name, resources in records.items()},
        "now": now,
    }
    with tempfile.TemporaryDirectory(prefix="fhir-cds-bench-") as name:
        folder = Path(name)
        (folder / "input.json").write_bytes(codec.encode(made))
        script = Path(__file__).with_name("peer.cjs")
        command = [shutil.which("node") or "node", str(script), str(modules.resolve()), str(folder)]
        done = subprocess.run(command, env=os.environ | {"TZ": "UTC"}, check=True, capture_output=True, text=True)
        report = msgspec.json.decode(done.stdout)
        answers = msgspec.json.decode((folder / "answers.json").read_bytes())
    return PeerRun(answers, float(report["cpu"]), report["node"])


def plain(value: Any) -> Any:
    """Bring a value of either engine into one form; whatever the words, an error is an error."""
    form = FORMS.get(type(value))
    return value if form is None else form(value)


def _object(value: Json) -> Any:
    """Bring a resource, a tuple or one of the peer's values into the form."""
    if "resourceType" in value:
        return f"{value['resourceType']}/{value.get('id')}"
    if value.keys() == {ERROR}:
        return {ERROR: True}
    if value.keys() == {"value"}:  # a FHIR primitive is an object there
        return plain(value["value"])
    return {name: plain(item) for name, item in value.items()}


def _number(value: float | Decimal) -> float:
    return round(float(value), 6)


FORMS: Mapping[type, Callable[[Any], Any]] = {
    Code: lambda code: {"code": code.code, "system": code.system},
    Concept: lambda concept: {"codes": [plain(code) for code in concept.codes]},
    Date: str,
    DateTime: str,
    Decimal: _number,
    Interval: lambda i: {"low": plain(i.low), "high": plain(i.high), "lc": i.low_closed, "hc": i.high_closed},
    Long: _number,
    Quantity: lambda quantity: {"q": _number(quantity.value), "u": quantity.unit},
    Ratio: lambda ratio: {"numerator": plain(ratio.numerator), "denominator": plain(ratio.denominator)},
    Time: str,
    Typed: lambda typed: plain(typed.value),
    Uncertainty: lambda between: {"low": plain(between.low), "high": plain(between.high)},
    dict: _object,
    float: _number,
    int: _number,
    list: lambda items: [plain(item) for item in items],
}
