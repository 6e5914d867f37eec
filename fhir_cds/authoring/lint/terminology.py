"""Rules about codes and value sets."""

from __future__ import annotations

from collections.abc import Iterator

from fhir_cds.authoring.elm_form import definitions
from fhir_cds.authoring.lint.resources import concepts
from fhir_cds.authoring.lint.view import Content, File, Json, Remark, strings, walk


def value_sets(content: Content) -> Iterator[Remark]:
    """C010: a value set is used and has members; every member has system, code and display."""
    used = {d["id"].partition("|")[0] for e in content.logic.documents.values() for d in definitions(e, "valueSets")}
    for file in content.authored():
        own = file.document.get("url")
        used |= {text.partition("|")[0] for _, _, text in strings(file.document) if text.partition("|")[0] != own}
    for file in content.of("ValueSet"):
        if file.document.get("url") not in used:
            yield Remark(file.name, "is used by no library and no resource")
        members = list(members_of(file.document))
        if not members and not any(part.get("valueSet") for part in _includes(file.document)):
            yield Remark(file.name, "is empty")
        for system, code, display in members:
            if not (system and code and display):
                yield Remark(file.name, f"{code or 'a member'} lacks a system, a code or a display")


def members_of(resource: Json) -> Iterator[tuple[str, str, str]]:
    """Yield (system, code, display) of the concepts that a value set lists."""
    for part in _includes(resource):
        for concept in part.get("concept", ()):
            yield part.get("system", ""), concept.get("code", ""), concept.get("display", "")


def _includes(resource: Json) -> list[Json]:
    included: list[Json] = resource.get("compose", {}).get("include", [])
    return included


def known_codes(content: Content) -> Iterator[Remark]:
    """C020: every clinical code is in the catalogue of verified codes; every local code is in our code system."""
    local = {f.document.get("url"): _codes(f) for f in content.of("CodeSystem")}
    catalogue = content.catalogue
    for file in content.authored():
        if file.kind == "CodeSystem":
            continue
        for system, code in sorted(set(_named(file.document))):
            if system in local:
                if code not in local[system]:
                    yield Remark(file.name, f"{code} is not in {system}")
            elif catalogue and system in {known for known, _ in catalogue.codes}:
                if (system, code) not in catalogue.codes:
                    yield Remark(file.name, f"{system} {code} is not in the catalogue of codes")
                elif (system, code) in catalogue.unverified:
                    yield Remark(file.name, f"{system} {code} has no verified source")
    for library, document in content.logic.documents.items():
        yield from _in_cql(content, library, document, local)


def _in_cql(content: Content, library: str, document: Json, local: dict[object, frozenset[str]]) -> Iterator[Remark]:
    systems = {d["name"]: d["id"] for d in definitions(document, "codeSystems")}
    for code in definitions(document, "codes"):
        system = systems.get(code.get("codeSystem", {}).get("name"), "")
        clinical = content.catalogue and system in {known for known, _ in content.catalogue.codes}
        wrong = system in local and code["id"] not in local[system]
        if wrong or (clinical and content.catalogue and (system, code["id"]) not in content.catalogue.codes):
            yield Remark(f"{library}.cql:{code.get('locator', '')}", f"{system} {code['id']} is not a known code")


def _named(document: Json) -> Iterator[tuple[str, str]]:
    yield from ((system, code) for system, code, _ in members_of(document))
    for _, node in walk(document):
        system, code = node.get("system"), node.get("code")
        if isinstance(system, str) and isinstance(code, str):
            yield system, code


def _codes(file: File) -> frozenset[str]:
    return frozenset(node["code"] for node in concepts(file.document))
