"""Rules about CQL: conditions and defines, prose, facts, generated files, and what services must prefetch."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from fhir_cds.authoring import build, helpers
from fhir_cds.authoring.elm_form import nodes
from fhir_cds.authoring.elm_graph import Name, Statement
from fhir_cds.authoring.lint.view import PLANS, Content, Json, Remark, actions, walk
from fhir_cds.errors import ContentError

BOOLEAN: Final = "{urn:hl7-org:elm-types:r1}Boolean"
CONTEXT: Final = frozenset({"Patient", "Unfiltered", "Population"})
_PROSE: Final = re.compile(r"(?:[A-Za-z'-]+[ ,.;:]+){4,}")


def library_of(definition: Json) -> str:
    """Return the name of a definition's CQL library ("" without one)."""
    libraries = definition.get("library", ())
    return str(libraries[0]).partition("|")[0].rpartition("/")[2] if libraries else ""


def named(definition: Json) -> Iterator[tuple[str, Name]]:
    """Yield (path, define) for every expression of a definition that names one."""
    for path, node in walk(definition):
        if node.get("language") == "text/cql-identifier":
            yield path, define(node, definition)


def define(expression: Json, definition: Json) -> Name:
    """Return the define that an expression names: `Name`, `"Name"` or `Library."Name"`."""
    text = str(expression.get("expression", ""))
    library, dot, name = text.partition('."')
    if dot:
        return Name(library.strip('"'), name.rstrip('"'))
    reference = expression.get("reference")
    owner = str(reference).partition("|")[0].rpartition("/")[2] if reference else library_of(definition)
    return Name(owner, text.strip('"'))


def defines(content: Content) -> Iterator[Remark]:
    """C003: every expression names a public define; a condition's define is a Boolean."""
    for file in content.of("PlanDefinition", "ActivityDefinition", "Questionnaire"):
        for path, name in named(file.document):
            statement = content.logic.statements.get(name)
            where = f"{file.name} {path}"
            if statement is None or statement.is_function or not statement.is_public:
                yield Remark(where, f'there is no public define "{name.name}" in {name.library or "any library"}')
            elif ".condition[" in f".{path}" and statement.result != BOOLEAN:
                yield Remark(where, f'"{name.name}" is not a Boolean')


def generated(content: Content) -> Iterator[Remark]:
    """C007: ELM and Library resources are made from the CQL that stands beside them (stamp, without Node.js)."""
    try:
        sources = build.read_sources(content.root, content.root / "node_modules")
    except ContentError as error:
        yield Remark(str(error.where), error.message)
        return
    digests = {name: build.digest(name, sources) for name in sources}
    fresh = build.fresh_elm(content.root, digests)
    for name, source in sources.items():
        if name not in fresh:
            yield Remark(f"{build.CQL}/{name}.cql", "its ELM is stale (fhir-cds build)")
            continue
        path = content.root / "plandefinitions" / f"Library-{name}.json"
        held = next((f.document for f in content.of("Library") if f.path == path), None)
        texts = {entry["contentType"]: entry["data"] for entry in (held or {}).get("content", ())}
        if texts != build.embedded(source, fresh[name]):
            yield Remark(f"plandefinitions/Library-{name}.json", "does not hold this CQL and ELM (fhir-cds build)")


def prefetch(content: Content) -> Iterator[Remark]:
    """C008: a prefetch reads what its plans' logic reads, with the answers to questionnaires, and nothing else."""
    for hook in content.hooks:
        wanted = {kind for kind, _ in retrieves(content, hook.document)}
        if wanted and any(True for _ in content.of("Questionnaire")):
            wanted.add("QuestionnaireResponse")
        queries: dict[str, str] = hook.document.get("prefetch", {})
        held = {key: re.split(r"[?/]", query, maxsplit=1)[0] for key, query in queries.items()}
        for kind in sorted(wanted - set(held.values())):
            yield Remark(hook.name, f"the logic reads {kind}, no prefetch key does")
        for key, kind in held.items():
            if wanted and kind not in {*wanted, "Patient"}:
                yield Remark(f"{hook.name} prefetch.{key}", f"no define behind the service reads {kind}")


def retrieves(content: Content, hook: Json) -> frozenset[tuple[str, str]]:
    """Return (type, value set) of every retrieve that the plans of a service reach."""
    start = {name for plan in plans_of(content, hook) for _, name in named(plan)}
    return frozenset(read for statement in content.logic.reached(sorted(start)) for read in statement.retrieves)


def plans_of(content: Content, hook: Json) -> list[Json]:
    """Return the plans and activities that a service applies, directly or through others."""
    by_url = {str(file.document.get("url")): file.document for file in content.files}
    todo = list(hook.get("extension", {}).get(PLANS, ()))
    found: dict[str, Json] = {}
    while todo:
        url = str(todo.pop()).partition("|")[0]
        if url in by_url and url not in found:
            found[url] = by_url[url]
            todo += [a["definitionCanonical"] for _, a in actions(by_url[url]) if "definitionCanonical" in a]
    return list(found.values())


def triggers(content: Content) -> Iterator[Remark]:
    """C009: a plan with a trigger is served by a service of that hook."""
    for hook in content.hooks:
        for plan in plans_of(content, hook.document):
            for path, action in actions(plan):
                names = {trigger.get("name") for trigger in action.get("trigger", ())}
                if names and hook.document.get("hook") not in names:
                    yield Remark(
                        f"{hook.name}", f"{plan.get('id')} {path} is triggered by {', '.join(map(str, names))}"
                    )


def prose(content: Content) -> Iterator[Remark]:
    """C013: text for people stands in resources, not in CQL."""
    for library, document in content.logic.documents.items():
        if library == helpers.NAME:
            continue
        for node in nodes(document["library"].get("statements")):
            is_text = node.get("type") == "Literal" and str(node.get("valueType", "")).endswith("}String")
            if is_text and _PROSE.match(str(node.get("value", ""))):
                yield Remark(f"{library}.cql:{node.get('locator', '')}", "a sentence; texts belong into the plan")


def unused(content: Content) -> Iterator[Remark]:
    """C018: every define leads to a plan, an activity, a questionnaire or a case."""
    start = {name for file in content.authored() for _, name in named(file.document)}
    start |= {n for case in content.cases for n in _of_case(content, case.plan, case.expect.defines)}
    used = {statement.name for statement in content.logic.reached(sorted(start))}
    for name, statement in content.logic.statements.items():
        if name.library != helpers.NAME and name.name not in CONTEXT and name not in used:
            kind = "function" if statement.is_function else "define"
            yield Remark(_place(statement), f'the {kind} "{name.name}" is used by no plan')


def _of_case(content: Content, plan: str | None, defines: Json) -> Iterator[Name]:
    document = next((f.document for f in content.of("PlanDefinition") if f.document.get("id") == plan), {})
    for text in defines:
        library, dot, name = text.partition(".")
        yield Name(library, name) if dot and library in content.logic.documents else Name(library_of(document), text)


def facts(content: Content) -> Iterator[Remark]:
    """C028: a fact is known to the catalogue, where that is at hand, and is not a function."""
    for statement in content.logic.statements.values():
        fact = statement.tags.get("fact")
        if fact is None:
            continue
        if statement.is_function:
            yield Remark(_place(statement), f"@fact {fact} stands on a function")
        if content.catalogue and fact not in content.catalogue.facts:
            yield Remark(_place(statement), f"@fact {fact} is not in the catalogue")


def _place(statement: Statement) -> str:
    return f"{statement.name.library}.cql:{statement.locator}"
