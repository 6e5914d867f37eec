"""What the profiles that our resources claim to meet ask for, as a table, and the rule that holds them to it.

Read from the StructureDefinitions of two HL7 guides for R4: CPG 2.0.0 (HL7/cqf-recommendations) and CRMI, STU 1 and the
sources of 2.0 of July 2025 (HL7/crmi-ig). `needs` are elements with a minimum of one, `without` those with a maximum of
zero. `keeps` are elements that a profile only says to support and that all our content has: they stay there.
Most CRMI profiles add no more than this; those of value sets and code systems also have invariants, in `_INVARIANTS`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from fhir_cds.authoring.lint.view import Content, File, Json, Remark, actions
from fhir_cds.knowledge.load import ELM_TYPE

CPG: Final = "http://hl7.org/fhir/uv/cpg/StructureDefinition/"
CRMI: Final = "http://hl7.org/fhir/uv/crmi/StructureDefinition/"
SDC: Final = "http://hl7.org/fhir/uv/sdc/StructureDefinition/"


@dataclass(frozen=True, slots=True)
class Profile:
    """What a profile of `kind` asks for beyond the base resource; paths are dotted, each step taken everywhere.

    `type_code` is the fixed code of `type`, `defines` the profiles of which an action's definition must claim one.
    """

    kind: str
    base: str | None = None
    needs: tuple[str, ...] = ()
    keeps: tuple[str, ...] = ()
    without: tuple[str, ...] = ()
    single: tuple[str, ...] = ()
    type_code: str | None = None
    defines: frozenset[str] = frozenset()


_SHARED: Final = ("url", "version", "title", "description")
_TOLD: Final = ("name", "experimental", "publisher")
_STEP: Final = ("action.title", "action.description", "action.code")
_NO_BEHAVIOUR: Final = tuple(
    f"action.{name}"
    for name in (
        *("type", "groupingBehavior", "requiredBehavior", "precheckBehavior", "cardinalityBehavior"),
        *("transform", "dynamicValue"),
    )
)
_CRMI_KINDS: Final = (
    *("PlanDefinition", "ActivityDefinition", "Library", "Questionnaire"),
    *("ValueSet", "CodeSystem", "StructureDefinition"),
)
_EXTRA: Final[Mapping[str, tuple[str, ...]]] = {
    "ActivityDefinition": ("experimental",),
    "Questionnaire": ("experimental",),
    "ValueSet": ("experimental",),
    "StructureDefinition": ("experimental",),
    "CodeSystem": ("experimental", "caseSensitive", "content", "concept.code"),
}
_FOUND_BY: Final = frozenset({"PlanDefinition", "ActivityDefinition", "Library", "Questionnaire"})

PROFILES: Final[Mapping[str, Profile]] = {
    CPG + "cpg-computableplandefinition": Profile("PlanDefinition", needs=("type", "action"), single=("library",)),
    CPG + "cpg-recommendationdefinition": Profile(
        "PlanDefinition",
        CPG + "cpg-computableplandefinition",
        keeps=("library", "action.title", "action.description"),
        type_code="eca-rule",
        defines=frozenset({CPG + "cpg-computableactivity", CPG + "cpg-ordersetdefinition"}),
    ),
    CPG + "cpg-strategydefinition": Profile(
        "PlanDefinition",
        CPG + "cpg-computableplandefinition",
        needs=_STEP,
        without=_NO_BEHAVIOUR,
        type_code="workflow-definition",
        defines=frozenset({CPG + "cpg-recommendationdefinition"}),
    ),
    CPG + "cpg-pathwaydefinition": Profile(
        "PlanDefinition",
        CPG + "cpg-computableplandefinition",
        needs=_STEP,
        without=(
            *_NO_BEHAVIOUR,
            *("action.input", "action.output", "action.relatedAction", "action.selectionBehavior"),
        ),
        type_code="clinical-protocol",
        defines=frozenset({CPG + "cpg-strategydefinition", CPG + "cpg-workflowdefinition"}),
    ),
    CPG + "cpg-computableactivity": Profile(
        "ActivityDefinition",
        needs=("kind",),
        keeps=("code",),
        single=("library",),
    ),
    CPG + "cpg-computablequestionnaire": Profile("Questionnaire", keeps=("item",)),
    SDC + "sdc-questionnaire": Profile("Questionnaire", needs=("url", "version", "name", "title", "status", "item")),
    CRMI + "crmi-computablelibrary": Profile("Library", needs=("content",)),
    CRMI + "crmi-executablelibrary": Profile("Library", needs=("content",)),
    CRMI + "crmi-computablevalueset": Profile("ValueSet"),
    **{
        f"{CRMI}crmi-shareable{kind.lower()}": Profile(kind, needs=(*_SHARED, *_EXTRA.get(kind, ())), keeps=_TOLD)
        for kind in _CRMI_KINDS
    },
    **{
        f"{CRMI}crmi-publishable{kind.lower()}": Profile(
            kind,
            # "All publishable artefacts are also shareable": the guide says so in words, not by derivation
            f"{CRMI}crmi-shareable{kind.lower()}",
            needs=("date", "type") if kind == "Library" else ("date",),
            keeps=("copyright", "useContext") if kind in _FOUND_BY else ("copyright",),
        )
        for kind in _CRMI_KINDS
    },
}


def claims(content: Content) -> Iterator[Remark]:
    """C027: a resource that claims a profile has what the profile asks for."""
    claimed = {url: _claimed(file.document) for file in content.files for url in _canonicals(file.document)}
    for file in content.files:
        for name in file.document.get("meta", {}).get("profile", ()):
            profile = PROFILES.get(name.partition("|")[0])
            if profile is None:
                yield Remark(file.name, f"claims {name}, of which nothing is known here")
            elif profile.kind != file.kind:
                yield Remark(file.name, f"claims {name}, which is for {profile.kind}")
            else:
                for text in _faults(file, profile, claimed):
                    yield Remark(file.name, f"claims {name}: {text}")
                for wrong in (text for broken in _INVARIANTS.get(name, ()) for text in broken(file.document)):
                    yield Remark(file.name, f"claims {name}: {wrong}")


def _faults(file: File, profile: Profile, claimed: Mapping[str, frozenset[str]]) -> Iterator[str]:
    document = file.document
    if profile.base is not None:
        yield from _faults(file, PROFILES[profile.base], claimed)
    absent = [path for path in (*profile.needs, *profile.keeps) if _lacks(document, path.split("."))]
    if absent:
        yield f"lacks {', '.join(dict.fromkeys(absent))}"
    present = [path for path in profile.without if _has(document, path.split("."))]
    if present:
        yield f"may not have {', '.join(present)}"
    yield from (f"at most one {name}" for name in profile.single if len(document.get(name, ())) > 1)
    if profile.type_code is not None:
        codes = [coding.get("code") for coding in document.get("type", {}).get("coding", ())]
        if profile.type_code not in codes:
            yield f"type should be {profile.type_code}"
    if profile.defines:
        for path, action in actions(document):
            target = action.get("definitionCanonical")
            known = claimed.get(target) if target else None
            if known is not None and not known & profile.defines:
                wanted = " or ".join(sorted(name.rpartition("/")[2] for name in profile.defines))
                yield f"{path} defines {target}, which does not claim {wanted}"


def _nodes(node: Any) -> list[Any]:
    return node if isinstance(node, list) else [node]


def _lacks(node: Json, steps: list[str]) -> bool:
    """Say whether a path is missing in any of the objects on the way to it (an empty way lacks nothing)."""
    found = node.get(steps[0])
    if len(steps) == 1:
        return found in (None, [], "", {})
    return found is not None and any(_lacks(inner, steps[1:]) for inner in _nodes(found))


def _has(node: Json, steps: list[str]) -> bool:
    """Say whether a path is there in any of the objects on the way to it."""
    found = node.get(steps[0])
    if found is None or len(steps) == 1:
        return found is not None
    return any(_has(inner, steps[1:]) for inner in _nodes(found))


def _claimed(document: Json) -> frozenset[str]:
    """Return the profiles that a resource claims, without versions."""
    return frozenset(name.partition("|")[0] for name in document.get("meta", {}).get("profile", ()))


def _canonicals(document: Json) -> tuple[str, ...]:
    url = document.get("url")
    return (url, f"{url}|{document.get('version')}") if url else ()


def _one_definition(document: Json) -> Iterator[str]:
    """Yield cvs-1: one of compose, rules in text and an expression."""
    urls = {extension.get("url") for extension in document.get("extension", ())}
    base = "http://hl7.org/fhir/StructureDefinition/"
    if ("compose" in document) + len(urls & {base + "valueset-rules-text", base + "valueset-expression"}) != 1:
        yield "exactly one of compose, rules in text and an expression (cvs-1)"


def _hierarchy(document: Json) -> Iterator[str]:
    """Yield scs-1 and scs-2: what nested concepts mean is said, and content that is there has concepts."""
    listed = document.get("concept", ())
    if any("concept" in concept for concept in listed) and "hierarchyMeaning" not in document:
        yield "nested concepts need hierarchyMeaning (scs-1)"
    if document.get("content") in {"example", "fragment", "complete"} and not listed:
        yield "its content says that there are concepts, and there is none (scs-2)"


def _compiled(document: Json) -> Iterator[str]:
    """Yield our reading of «executable»: a library carries ELM."""
    if ELM_TYPE not in {part.get("contentType") for part in document.get("content", ())}:
        yield f"carries no {ELM_TYPE}"


_INVARIANTS: Final[Mapping[str, tuple[Callable[[Json], Iterator[str]], ...]]] = {
    CRMI + "crmi-computablevalueset": (_one_definition,),
    CRMI + "crmi-shareablecodesystem": (_hierarchy,),
    CRMI + "crmi-executablelibrary": (_compiled,),
}
