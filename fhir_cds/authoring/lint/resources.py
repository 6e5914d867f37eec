"""Rules about single resources: names, texts, structure, references."""

from __future__ import annotations

import importlib
import re
from collections import Counter
from collections.abc import Iterator
from typing import Any, Final

from fhir_cds.authoring import fmt
from fhir_cds.authoring.lint.view import PLANS, Content, Json, Remark, actions, strings, walk

LANGUAGES: Final = frozenset({"text/cql-identifier"})
CARD_TITLE: Final = 139  # CDS Hooks 2.0: Card.summary has fewer than 140 characters

_NAME: Final = re.compile(r"[A-Z]([A-Za-z0-9_]){0,254}")
_PLACEHOLDER: Final = re.compile(
    r"\b(TODO|TBD|FIXME|XXX|lorem ipsum|placeholder|to be (?:defined|written|decided|added)|example\.(?:org|com))\b",
    re.IGNORECASE,
)
_CANONICAL_KEYS: Final = frozenset(
    {
        "answerValueSet",
        "definitionCanonical",
        "derivedFrom",
        "instantiatesCanonical",
        "library",
        "questionnaire",
        "replaces",
        "resource",
        "valueSet",
    }
)
_META: Final = ("url", "version", "name", "title", "status", "experimental", "date", "publisher")
_VERSIONED: Final = frozenset({"PlanDefinition", "ActivityDefinition", "Questionnaire", "ValueSet", "CodeSystem"})


def file_names(content: Content) -> Iterator[Remark]:
    """C001: a file is called ResourceType-id.json, a service id.json or id-hook.json."""
    for file in content.files:
        wanted = f"{file.kind}-{file.document.get('id')}.json"
        if file.path.name != wanted:
            yield Remark(file.name, f"should be called {wanted}")
    for hook in content.hooks:
        own = hook.document.get("id")
        if hook.path.stem not in {own, f"{own}-{hook.document.get('hook')}"}:
            yield Remark(hook.name, f"should be called {own}.json or {own}-{hook.document.get('hook')}.json")


def urls(content: Content) -> Iterator[Remark]:
    """C002: the canonical is base/ResourceType/id, the name PascalCase."""
    for file in content.files:
        if file.kind == "NamingSystem":
            continue
        wanted = f"{content.base}/{file.kind}/{file.document.get('id')}"
        if file.document.get("url") != wanted:
            yield Remark(file.name, f"url should be {wanted}")
        if not _NAME.fullmatch(str(file.document.get("name", ""))):
            yield Remark(file.name, "name should be in PascalCase, without blanks or dashes (cnl-0)")


def languages(content: Content) -> Iterator[Remark]:
    """C004: an expression is the name of a define, nothing else."""
    for file in content.authored():
        for path, node in walk(file.document):
            if "expression" in node and "language" in node and node["language"] not in LANGUAGES:
                yield Remark(
                    f"{file.name} {path}", f"expression language {node['language']}: only the name of a define"
                )


def canonicals(content: Content) -> Iterator[Remark]:
    """C005: every canonical of ours that is named is there, in that version."""
    known = content.canonicals()
    for file in (*content.files, *content.hooks):
        for path, key, text in strings(file.document):
            ours = text.startswith(f"{content.base}/")
            if ours and (key in _CANONICAL_KEYS or key == PLANS) and text.partition("#")[0] not in known:
                yield Remark(f"{file.name} {path}", f"{text} is not in the content")


def placeholders(content: Content) -> Iterator[Remark]:
    """C006: no text waits to be written."""
    for file in (*content.authored(), *content.hooks):
        for path, _, text in strings(file.document):
            if found := _PLACEHOLDER.search(text):
                yield Remark(f"{file.name} {path}", f'placeholder "{found[0]}"')


def grounds(content: Content) -> Iterator[Remark]:
    """C011: a recommendation names its source, and carries version, date and citation."""
    for file in content.of("PlanDefinition"):
        plan = file.document
        kind = [coding.get("code") for coding in plan.get("type", {}).get("coding", ())]
        if "eca-rule" not in kind:
            continue
        if not any(i.get("system") == f"{content.base}/recommendation" for i in plan.get("identifier", ())):
            yield Remark(file.name, "no identifier source:number")
        held = [*plan.get("relatedArtifact", ()), *(d for _, a in actions(plan) for d in a.get("documentation", ()))]
        if not any(artifact.get("citation") for artifact in held):
            yield Remark(file.name, "no citation (relatedArtifact or action.documentation)")


def action_ids(content: Content) -> Iterator[Remark]:
    """C012: every action has an id, unique in its plan; related actions and goals name what is there."""
    for file in content.of("PlanDefinition"):
        plan = file.document
        count = Counter(action.get("id") for _, action in actions(plan))
        goals = {goal.get("id") for goal in plan.get("goal", ())}
        for path, action in actions(plan):
            where = f"{file.name} {path}"
            if not action.get("id"):
                yield Remark(where, "no id")
            elif count[action["id"]] > 1:
                yield Remark(where, f'the id "{action["id"]}" stands {count[action["id"]]} times')
            for related in action.get("relatedAction", ()):
                if related.get("actionId") not in count:
                    yield Remark(where, f'related action "{related.get("actionId")}" is not in the plan')
            for goal in action.get("goalId", ()):
                if goal not in goals:
                    yield Remark(where, f'goal "{goal}" is not in the plan')


def metadata(content: Content) -> Iterator[Remark]:
    """C016: authored definitions say what they are: url, version, name, title, status, date, publisher …."""
    for file in content.authored():
        if file.kind in _VERSIONED:
            absent = [name for name in _META if file.document.get(name) in (None, "")]
            if absent:
                yield Remark(file.name, f"missing {', '.join(absent)}")


def form(content: Content) -> Iterator[Remark]:
    """C017: authored JSON is in canonical form (fhir-cds fmt)."""
    for path in fmt.files(content.root):
        if fmt.formatted(path) != path.read_bytes():
            yield Remark(path.relative_to(content.root).as_posix(), "not in canonical form")


def cycles(content: Content) -> Iterator[Remark]:
    """C019: no plan applies itself, directly or through others."""
    by_url = {file.document.get("url"): file for file in content.of("PlanDefinition")}
    edges = {
        url: {str(a.get("definitionCanonical", "")).partition("|")[0] for _, a in actions(file.document)}
        & by_url.keys()
        for url, file in by_url.items()
    }
    for start, file in by_url.items():
        seen: set[Any] = set()
        todo = list(edges[start])
        while todo:
            url = todo.pop()
            if url == start:
                yield Remark(file.name, "applies itself")
                break
            if url not in seen:
                seen.add(url)
                todo.extend(edges[url])


def titles(content: Content) -> Iterator[Remark]:
    """C021: an action's title fits a card's summary (fewer than 140 characters)."""
    for file in content.of("PlanDefinition"):
        for path, action in actions(file.document):
            title = action.get("title", "")
            if len(title) > CARD_TITLE:
                yield Remark(f"{file.name} {path}.title", f"{len(title)} characters; a card's summary has {CARD_TITLE}")


def structure(content: Content) -> Iterator[Remark]:
    """C023: every resource is valid R4 (by the R4B classes, which have the same elements) and has nothing R4 lacks."""
    for file in content.files:
        yield from (Remark(f"{file.name} {place}".strip(), text) for place, text in faults(file.document))


def faults(resource: Json) -> Iterator[tuple[str, str]]:
    """Yield (place, text) for what keeps a document from being a valid R4 resource."""
    library = importlib.import_module("fhir.resources.R4B")
    kind = str(resource.get("resourceType"))
    try:
        library.get_fhir_model_class(kind).model_validate(dict(resource))
    except KeyError as error:
        yield "", f"no such resource type: {error}"
    except ValueError as error:
        listed = getattr(error, "errors", None)
        for entry in listed() if listed else [{"loc": (), "msg": str(error)}]:
            yield ".".join(map(str, entry["loc"])), str(entry["msg"])
    for path, node in walk(resource):
        if "subjectCanonical" in node:
            yield path, "subjectCanonical is not in R4"


def references(content: Content) -> Iterator[Remark]:
    """C024: a reference points to a contained resource or a resource of the content."""
    known = {f"{file.kind}/{file.document.get('id')}" for file in content.files}
    for file in content.authored():
        contained = {f"#{resource.get('id')}" for resource in file.document.get("contained", ())}
        for path, node in walk(file.document):
            target = node.get("reference")
            if isinstance(target, str) and "://" not in target and target not in known | contained:
                yield Remark(f"{file.name} {path}", f"reference {target} leads nowhere")


def invariants(content: Content) -> Iterator[Remark]:
    """C025: R4 invariants that the classes do not check."""
    for file in content.authored():
        for check in _INVARIANTS.get(file.kind, ()):
            yield from (Remark(f"{file.name} {path}".strip(), text) for path, text in check(file.document))


def _value_set(resource: Json) -> Iterator[tuple[str, str]]:
    for index, part in enumerate(resource.get("compose", {}).get("include", ())):
        path = f"compose.include[{index}]"
        if not part.get("system") and not part.get("valueSet"):
            yield path, "names neither a system nor a value set (vsd-1)"
        if (part.get("concept") or part.get("filter")) and not part.get("system"):
            yield path, "concepts or filters need a system (vsd-2)"
        if part.get("concept") and part.get("filter"):
            yield path, "concepts and filters exclude each other (vsd-3)"


def _questionnaire(resource: Json) -> Iterator[tuple[str, str]]:
    items = [(path, node) for path, node in walk(resource.get("item", []), "item") if "linkId" in node]
    count = Counter(node["linkId"] for path, node in items if path.rpartition(".")[2].startswith("item["))
    yield from (("item", f"linkId {link} stands {n} times (que-2)") for link, n in count.items() if n > 1)
    for path, node in items:
        if node.get("type") == "group" and (node.get("answerOption") or node.get("answerValueSet")):
            yield path, "a group has no answers (que-5)"


def concepts(resource: Json) -> Iterator[Json]:
    """Yield every concept of a code system, children too."""
    for path, node in walk(resource.get("concept", []), "concept"):
        if path.rpartition(".")[2].startswith("concept[") and "code" in node:
            yield node


def _concepts(resource: Json) -> Iterator[tuple[str, str]]:
    count = Counter(node["code"] for node in concepts(resource))
    yield from (("concept", f"code {code} stands {n} times (csd-1)") for code, n in count.items() if n > 1)


def _activity(resource: Json) -> Iterator[tuple[str, str]]:
    if resource.get("kind") is None:
        yield "kind", "an activity needs the kind of request it makes"


_INVARIANTS: Final = {
    "ValueSet": (_value_set,),
    "Questionnaire": (_questionnaire,),
    "CodeSystem": (_concepts,),
    "ActivityDefinition": (_activity,),
}
