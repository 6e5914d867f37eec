"""One plan of content that was not written for this program: found in any layout, with the logic that it needs.

Only what the plan names is loaded, so that what is wrong elsewhere in the files does not matter. CQL is translated
where the translator is installed: it gives ELM with the types that the compiler needs, which published ELM often lacks.
What is wrong with the plan itself is no reason to stop: it becomes issues of the result.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from fhir_cds import cql
from fhir_cds.authoring import translate
from fhir_cds.authoring.helpers import NAME as HELPERS
from fhir_cds.authoring.helpers import fhir_helpers
from fhir_cds.errors import ContentError, NotFoundError
from fhir_cds.knowledge import loose
from fhir_cds.knowledge.load import Knowledge
from fhir_cds.knowledge.registry import Registry, Resource, canonical_of, key_of
from fhir_cds.reasoning import check
from fhir_cds.reasoning.dependencies import closure
from fhir_cds.reasoning.engine import Engine
from fhir_cds.reasoning.logic import NoLogic
from fhir_cds.terminology.local import Expander, aliases

CodeSets = dict[str, frozenset[tuple[str, str]]]

_INCLUDE: Final = re.compile(r'^\s*include\s+(?:\w+\.)*("(?:[^"\\]|\\.)+"|\w+)', re.MULTILINE)
_LISTED: Final = 10


@dataclass(frozen=True, slots=True)
class Foreign:
    """A plan's content and engine; `notes` are what a reader should know: files left out, faults of the plan."""

    plan: Resource
    knowledge: Knowledge
    engine: Engine
    notes: tuple[str, ...]


def load(paths: Sequence[Path], name: str, node_modules: Path | None = None) -> Foreign:
    """Return the plan called `name` (id, canonical or name) in files of any layout, ready to be applied.

    Raises NotFoundError that lists the plans there are; ContentError for libraries or value sets that the plan's logic
    needs and the files lack, naming each, and for CQL that does not translate or compile.
    """
    found = loose.collect(paths)
    registry = found.registry()
    plan = _plan(registry, name)
    needed = closure(registry, plan)
    libraries = [str(item.get("name") or item["id"]) for item in needed if item["resourceType"] == "Library"]
    documents = _logic(found, libraries, node_modules)
    small = Registry.of([(registry.source(item), item) for item in needed], need_url=False)
    sets = _code_sets(registry, documents)
    program = cql.Program.load(documents.values(), sets) if documents else NoLogic()
    engine = Engine.of(small, program, sets, strict=False)
    faults = check.faults(small, engine.graph)
    keys = {key_of(item) for item in needed}
    notes = [text for key, text in found.notes if not key or key in keys]
    return Foreign(plan, Knowledge(small, documents, ()), engine, (*notes, *faults))


def _plan(registry: Registry, name: str) -> Resource:
    try:
        return registry.get("PlanDefinition", name)
    except NotFoundError:
        plans = registry.by_type("PlanDefinition")
        named = [plan for plan in plans if name in {plan.get("name"), plan.get("title")}]
        if len(named) == 1:
            return named[0]
        there = ", ".join(sorted(str(plan["id"]) for plan in plans)[:_LISTED]) or "none"
        raise NotFoundError(f"there is no such PlanDefinition; there are {len(plans)}: {there}", where=name) from None


def _logic(found: loose.Found, names: Iterable[str], node_modules: Path | None) -> dict[str, Resource]:
    """Return the ELM of libraries and of those that they include, translated where that can be done."""
    wanted = _with_included(found, names)
    absent = sorted(name for name in wanted if name not in found.cql and name not in found.elm and name != HELPERS)
    if absent:
        raise ContentError(f"neither CQL nor ELM of these libraries is in the files: {', '.join(absent)}")
    written = [name for name in wanted if name in found.cql and name != HELPERS]
    problem = translate.missing(node_modules) if node_modules is not None else "no folder of the translator is named"
    if written and problem is None and node_modules is not None:
        sources = {HELPERS: fhir_helpers(node_modules), **found.cql}
        made = translate.translate(sources, written, node_modules=node_modules).libraries
        return {**{name: found.elm[name] for name in wanted if name in found.elm}, **_elm(made)}
    only = sorted(name for name in written if name not in found.elm)
    if only:
        raise ContentError(f"these libraries have CQL and no ELM: {', '.join(only)}; to translate: {problem}")
    return {name: found.elm[name] for name in wanted if name in found.elm and name != HELPERS}


def _elm(made: Mapping[str, translate.Translated]) -> dict[str, Resource]:
    return {name: dict(one.elm) for name, one in made.items()}


def _with_included(found: loose.Found, names: Iterable[str]) -> list[str]:
    """Return libraries and all that they include, as their CQL or ELM says."""
    listed = dict.fromkeys(names)
    pending = list(listed)
    while pending:
        name = pending.pop()
        text = found.cql.get(name)
        inner = [match.strip('"') for match in _INCLUDE.findall(text)] if text else []
        for other in inner or loose.included(found.elm.get(name, {})):
            if other not in listed:
                listed[other] = None
                pending.append(other)
    return list(listed)


def _code_sets(registry: Registry, documents: Mapping[str, Any]) -> CodeSets:
    """Return the codes of the value sets that ELM documents name; raises ContentError naming those not to be had."""
    expander = Expander(registry, aliases(registry))
    sets: CodeSets = {}
    lacking: dict[str, str] = {}
    for document in documents.values():
        for named in document["library"].get("valueSets", {}).get("def", ()):
            canonical = f"{named['id']}|{named['version']}" if named.get("version") else str(named["id"])
            valueset = registry.find(canonical, "ValueSet")
            if valueset is None:
                lacking[canonical] = "not in the files"
                continue
            try:
                codes = frozenset((member.system, member.code) for member in expander.members(valueset))
            except ContentError as error:
                lacking[canonical] = error.message
                continue
            sets |= {canonical: codes, canonical_of(valueset): codes, str(valueset["url"]): codes}
    if lacking:
        told = "\n".join(f"  {canonical}: {why}" for canonical, why in sorted(lacking.items()))
        raise ContentError(f"{len(lacking)} value sets that the logic needs cannot be had:\n{told}")
    return sets
