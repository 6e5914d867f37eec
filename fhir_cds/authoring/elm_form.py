"""The committed form of ELM: what the engine and its error messages need, one definition per line (readable diffs)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

import msgspec

FHIR: Final = "{http://hl7.org/fhir}"


def stripped(elm: Mapping[str, Any]) -> dict[str, Any]:
    """Return the ELM document without narrative and local ids; comment tags (`t`), locators and types stay."""
    library = {key: _strip(value) for key, value in elm["library"].items() if key not in {"localId", "annotation"}}
    about = [entry for entry in elm["library"].get("annotation", ()) if entry["type"] == "CqlToElmInfo"]
    return {"library": {"annotation": about, **library}}


def _strip(node: Any) -> Any:
    if isinstance(node, list):
        return [_strip(item) for item in node]
    if not isinstance(node, dict):
        return node
    kept = {key: _strip(value) for key, value in node.items() if key not in {"localId", "annotation"}}
    tags = [{"type": entry["type"], "t": entry["t"]} for entry in node.get("annotation", ()) if entry.get("t")]
    if tags:
        kept["annotation"] = tags
    return kept


def text(elm: Mapping[str, Any]) -> bytes:
    """Return the ELM document as JSON with one line per definition and a final newline."""
    lines = ['{"library":{']
    sections = list(elm["library"].items())
    for number, (key, value) in enumerate(sections):
        comma = "," if number + 1 < len(sections) else ""
        if isinstance(value, Mapping) and isinstance(value.get("def"), list):
            lines.append(f'"{key}":{{"def":[')
            lines.append(",\n".join(_line(definition) for definition in value["def"]))
            lines.append(f"]}}{comma}")
        else:
            lines.append(f'"{key}":{_line(value)}{comma}')
    return "\n".join([*lines, "}}", ""]).encode()


def _line(value: Any) -> str:
    return msgspec.json.encode(value).decode()


def definitions(elm: Mapping[str, Any], section: str) -> list[Mapping[str, Any]]:
    """Return the definitions of a section of the library: `statements`, `includes`, `valueSets`, `parameters`."""
    found: list[Mapping[str, Any]] = elm["library"].get(section, {}).get("def", [])
    return found


def nodes(tree: Any) -> Iterator[Mapping[str, Any]]:
    """Yield every JSON object in the tree, parents before children."""
    stack = [tree]
    while stack:
        node = stack.pop()
        if isinstance(node, Mapping):
            yield node
            stack.extend(reversed(list(node.values())))
        elif isinstance(node, list):
            stack.extend(reversed(node))


def value_sets_used(elm: Mapping[str, Any], others: Mapping[str, Mapping[str, Any]]) -> dict[tuple[str, str], str]:
    """Return (library alias or "", local name) -> canonical for every value set the library can name."""
    own = {("", d["name"]): d["id"] for d in definitions(elm, "valueSets")}
    for include in definitions(elm, "includes"):
        if included := others.get(include["path"]):
            alias = include["localIdentifier"]
            own |= {(alias, d["name"]): d["id"] for d in definitions(included, "valueSets")}
    return own


def data_requirements(elm: Mapping[str, Any], others: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return what a library and those it includes retrieve as R4 DataRequirements, sorted by type, path and value set.

    Each once, and none by value set where the whole type is needed anyway: a server makes one query of each.
    """
    found = {item for document in _with_included(elm, others) for item in _retrieves(document, others)}
    whole = {kind for kind, _, valueset in found if not valueset}
    needed = {(kind, "", "") for kind in whole} | {item for item in found if item[0] not in whole}
    return [
        {"type": kind} | ({"codeFilter": [{"path": path, "valueSet": valueset}]} if valueset else {})
        for kind, path, valueset in sorted(needed)
    ]


def _with_included(elm: Mapping[str, Any], others: Mapping[str, Mapping[str, Any]]) -> Iterable[Mapping[str, Any]]:
    """Return a library and all that it includes, directly or not."""
    reached = {elm["library"]["identifier"]["id"]: elm}
    waiting = [elm]
    while waiting:
        for include in definitions(waiting.pop(), "includes"):
            name = include["path"]
            if name in others and name not in reached:
                reached[name] = others[name]
                waiting.append(others[name])
    return reached.values()


def _retrieves(elm: Mapping[str, Any], others: Mapping[str, Mapping[str, Any]]) -> Iterator[tuple[str, str, str]]:
    """Yield (type, code path, value set or nothing) for every retrieve that a library itself makes."""
    names = value_sets_used(elm, others)
    for node in nodes(elm["library"].get("statements", {})):
        if node.get("type") != "Retrieve":
            continue
        references = (n for n in nodes(node.get("codes")) if n.get("type") == "ValueSetRef")
        valueset = next((names.get((n.get("libraryName", ""), n["name"]), "") for n in references), "")
        yield node["dataType"].removeprefix(FHIR), node.get("codeProperty") or "", valueset
