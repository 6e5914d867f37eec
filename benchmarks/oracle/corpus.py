"""Any compiled CQL content and any patients: every define here and in cql-execution, answers compared.

    python -m benchmarks.oracle.corpus --elm DIR --valuesets DIR [DIR …] --patients DIR [DIR …] [--explained FILE.toml]

`--elm` holds ELM in JSON, by itself or in Library resources; `--valuesets` ValueSets with an expansion or listed codes
(one that the ELM names and nobody gives is empty for both engines); `--patients` Bundles of one patient, or folders of
resources around a Patient. Of a record both engines get the types of resources that the libraries retrieve. Exits with
1 when an answer differs for a reason that the file of explained differences does not give.
"""

from __future__ import annotations

import argparse
import base64
import binascii
import os
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec

from benchmarks.oracle import differences, peer
from fhir_cds.cql import Program
from fhir_cds.errors import EvaluationError

ROOT = Path(__file__).parents[2]
NOW = "2026-01-01T00:00:00.000+00:00"
ELM_JSON = "application/elm+json"
DECODER = msgspec.json.Decoder(float_hook=Decimal)
Json = dict[str, Any]


def main() -> int:
    options = arguments()
    elm = libraries(options.elm)
    sets, absent = code_sets(options.valuesets, elm)
    program = Program.load(elm.values(), sets)
    records = dict(list(patients(options.patients, wanted(program)))[: options.limit])
    names = [
        (library.name, define.name)
        for library in program.libraries
        for define in library.defines.values()
        if define.name != "Patient"
    ]
    defines = Counter(library for library, _ in names)
    print(f"{len(names)} defines of {len(defines)} libraries, {len(records)} patients at {options.now[:10]}")
    print(f"value sets: {len(sets)}, of which empty for both engines because nobody gives them: {absent}")
    ours = {name: answers(program, resources, names, options.now) for name, resources in records.items()}
    theirs = peer.run(options.node_modules, elm, sets, records, options.now)
    values = [value for record in ours.values() for value in record.values()]
    telling = sum(value not in (None, False, []) for value in values)
    print(f"answers other than null, false or an empty list: {telling} of {len(values)}")
    known = differences.read(options.explained) if options.explained else []
    return differences.report(len(values), differences.between(ours, theirs.answers), known)


def arguments() -> argparse.Namespace:
    modules = Path(os.environ.get("FHIR_CDS_NODE_MODULES", ROOT / "node_modules"))
    parser = argparse.ArgumentParser(
        prog="benchmarks.oracle.corpus", description="Any CQL content beside cql-execution"
    )
    parser.add_argument("--elm", type=Path, required=True)
    parser.add_argument("--valuesets", type=Path, nargs="+", required=True)
    parser.add_argument("--patients", type=Path, nargs="+", required=True)
    parser.add_argument("--explained", type=Path, help="TOML of the differences that the specification explains")
    parser.add_argument("--now", default=NOW)
    parser.add_argument("--limit", type=int, help="at most so many patients")
    parser.add_argument("--node-modules", type=Path, default=modules, help="where cql-execution and cql-exec-fhir are")
    return parser.parse_args()


def documents(folder: Path) -> Iterator[tuple[Path, Json]]:
    """Yield the JSON objects of a folder and all below it, in the order of their paths."""
    for path in sorted(folder.rglob("*.json")):
        try:
            document = DECODER.decode(path.read_bytes())
        except (msgspec.DecodeError, UnicodeDecodeError):
            continue
        if isinstance(document, dict):
            yield path, document


def libraries(folder: Path) -> dict[str, Json]:
    """Return the ELM of a folder by library name."""
    found = {}
    for _, document in documents(folder):
        for elm in [document] if "library" in document else encoded(document):
            found[elm["library"]["identifier"]["id"]] = elm
    return found


def encoded(document: Json) -> Iterator[Json]:
    """Yield the ELM in a Library resource."""
    for content in document.get("content", ()) if document.get("resourceType") == "Library" else ():
        if content.get("contentType") == ELM_JSON:
            try:
                yield DECODER.decode(base64.b64decode(content["data"]))
            except (binascii.Error, msgspec.DecodeError):
                continue


def code_sets(folders: Sequence[Path], elm: Mapping[str, Json]) -> tuple[dict[str, frozenset[tuple[str, str]]], int]:
    """Return the codes of each value set that the ELM names, and how many of those nobody gives."""
    given = {
        document["url"]: frozenset(codes(document))
        for folder in folders
        for _, document in documents(folder)
        if document.get("resourceType") == "ValueSet" and "url" in document
    }
    named = {
        entry["id"] for document in elm.values() for entry in document["library"].get("valueSets", {}).get("def", ())
    }
    return {url: given.get(url.partition("|")[0], frozenset()) for url in named}, len(named - given.keys())


def codes(valueset: Json) -> Iterator[tuple[str, str]]:
    """Yield system and code of what a ValueSet contains: its expansion, else the codes that it lists."""
    expansion = valueset.get("expansion", {}).get("contains")
    if expansion:
        yield from ((item["system"], item["code"]) for item in expansion if "code" in item)
        return
    for include in valueset.get("compose", {}).get("include", ()):
        yield from ((include["system"], item["code"]) for item in include.get("concept", ()))


def wanted(program: Program) -> set[str]:
    """Return the types of resources that a program retrieves."""
    every = [(library.name, define) for library in program.libraries for define in library.defines]
    return {retrieve.type for define in every for retrieve in program.retrieves(*define)} | {"Patient"}


def patients(folders: Sequence[Path], types: set[str]) -> Iterator[tuple[str, list[Json]]]:
    """Yield name and record of each patient; one that has no Patient, or several, is passed over."""
    seen: set[str] = set()
    for folder in folders:
        loose: dict[Path, list[Json]] = {}
        for path, document in documents(folder):
            kind = document.get("resourceType")
            if kind == "Bundle":
                entries = [entry["resource"] for entry in document.get("entry", ()) if "resource" in entry]
                yield from record(path.stem, entries, types, seen)
            elif kind is not None:
                loose.setdefault(path.parent, []).append(document)
        for place in cases(loose):
            near = [item for parent, items in loose.items() if parent.is_relative_to(place) for item in items]
            yield from record(place.name, near, types, seen)


def cases(loose: Mapping[Path, Sequence[Json]]) -> Iterator[Path]:
    """Yield the folders of records kept as one file for each resource: around each Patient, or above its `Patient/`."""
    for parent, items in loose.items():
        if any(item["resourceType"] == "Patient" for item in items):
            yield parent.parent if parent.name == "Patient" else parent


def record(name: str, resources: Sequence[Json], types: set[str], seen: set[str]) -> Iterator[tuple[str, list[Json]]]:
    """Yield a record under a name of its own."""
    if sum(item.get("resourceType") == "Patient" for item in resources) != 1:
        return
    own = name if name not in seen else f"{name} {len(seen)}"
    seen.add(own)
    yield own, [item for item in resources if item.get("resourceType") in types]


def answers(program: Program, resources: list[Json], names: Sequence[tuple[str, str]], now: str) -> Json:
    """Return the value of every define; {"error": text} where it fails."""
    evaluation = program.evaluate(resources, now)
    found: Json = {}
    for library, name in names:
        try:
            found[f"{library}.{name}"] = evaluation.value(library, name)
        except EvaluationError as error:
            found[f"{library}.{name}"] = {peer.ERROR: error.message}
    return found


if __name__ == "__main__":
    sys.exit(main())
