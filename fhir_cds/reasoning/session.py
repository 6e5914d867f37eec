"""Everything that applying plans to one patient at one instant needs, and collects; made anew for each call."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final

from msgspec import Struct

from fhir_cds.errors import ContentError, EvaluationError
from fhir_cds.reasoning import fhirpath
from fhir_cds.reasoning.engine import Engine
from fhir_cds.reasoning.explain import Explainer
from fhir_cds.reasoning.expressions import Define, Meaning, Path
from fhir_cds.reasoning.logic import Evaluation
from fhir_cds.reasoning.outcome import Json

VARIABLE: Final = "http://hl7.org/fhir/StructureDefinition/variable"
_PARAMETERS: Final = "encounter practitioner organization userType userLanguage userTaskContext setting settingContext"
NOT_GIVEN: Final[Mapping[str, Any]] = MappingProxyType({name: [] for name in _PARAMETERS.split()})
_SHOWN: Final = ("encounter", "practitioner", "organization", "language", "status", "intent")
_EMPTY: Final[Mapping[str, Any]] = {}


@dataclass(frozen=True, slots=True)
class Context:
    """Who asks for what, beside plan and patient (apply.md IN-05..IN-07, IN-11, AL-03).

    `encounter`, `practitioner` and `organization` are references (`Type/id`); `variables` are the other parameters of
    the call (userType, userLanguage, setting …) by name, visible to expressions as `%name`; `parameters` are CQL
    parameters by name; `selected` the ids of the actions a clinician chose, `documented` those of required actions left
    out for a documented reason; `starts` ISO dates at which actions, by id, start; `left_out` the urls of plans
    that are not applied where an action of another one names them.
    """

    encounter: str | None = None
    practitioner: str | None = None
    organization: str | None = None
    language: str | None = None
    variables: Mapping[str, Any] = field(default_factory=dict)
    parameters: Mapping[str, Any] = field(default_factory=dict)
    selected: Collection[str] | None = None
    documented: frozenset[str] = frozenset()
    starts: Mapping[str, str] = field(default_factory=dict)
    status: str = "draft"
    intent: str = "proposal"
    merge_nested: bool = False
    collect_tasks: bool = False
    left_out: frozenset[str] = frozenset()

    @property
    def given(self) -> Json:
        """What of it shows in the result, by the names of the parameters."""
        return {name: value for name in _SHOWN if (value := getattr(self, name)) is not None}


class Session(Struct):
    """One patient's evaluation with the context of the call.

    `given` is what of the context shows in the result; `open_plans` are the plans being applied (by canonical), each
    nested in the one before it, and `issues` gathers what goes wrong in the last of them, in order; `memo` keeps what
    projections have worked out, by their own keys; `failed` has the place of each action whose outcome failed, in all
    plans applied.
    """

    engine: Engine
    subject: str
    resources: Sequence[Json]
    by_reference: Mapping[str, Json]
    now: str
    context: Context
    evaluation: Evaluation
    explainer: Explainer
    given: Json
    issues: list[Json] = []  # a new list for each session, as the members below
    open_plans: list[str] = []
    memo: dict[Any, Any] = {}
    failed: list[str] = []

    @property
    def today(self) -> str:
        """The day of `now`, in its own time zone."""
        return self.now[:10]

    def resource(self, reference: str | None) -> Json | None:
        """Return the resource of the record that `Type/id` names, None when it is not in it."""
        return self.by_reference.get(reference) if reference else None

    def variables(self, **more: Any) -> dict[str, Any]:
        """Return the `%variables` of expressions (see `variables_of`), with some more."""
        return {**variables_of(self.context, self.subject, self.by_reference), **more}

    def scope(self, definition: Json, **more: Any) -> dict[str, Any]:
        """Return the variables of an expression in a definition: those of the call, and those that it declares itself.

        A `variable` extension names an expression, which may use the variables before it (CO-05). One that fails is not
        bound, so that expressions that need it fail, and others do not.
        """
        found = self.variables(**more)
        for extension in definition.get("extension", ()):
            expression = extension.get("valueExpression", {})
            if extension.get("url") == VARIABLE and expression.get("name"):
                with suppress(ContentError, EvaluationError):
                    value = self.value(self.meaning(expression, definition), definition, found.copy)
                    found[expression["name"]] = value
        return found

    def meaning(self, expression: Json, definition: Json) -> Meaning:
        """Return what an expression of a plan or activity names; raises ContentError."""
        return self.engine.meaning(expression, definition)

    def value(self, meaning: Meaning, root: Json, variables: Callable[[], Mapping[str, Any]]) -> Any:
        """Return the value of a define or FHIRPath (a list for FHIRPath); raises EvaluationError or ContentError."""
        if isinstance(meaning, Path):
            codes = self.engine.code_sets.get
            return fhirpath.evaluate(
                meaning.text, root, variables(), now=self.now, resolve=self.resource, terminology=codes
            )
        self.require(meaning)
        return self.evaluation.value(meaning.library, meaning.name)

    def require(self, define: Define) -> None:
        """Raise ContentError when the define is not in the compiled logic."""
        if define not in self.engine.graph:
            raise ContentError(f'there is no define "{define.name}" in the library {define.library}')


def variables_of(context: Context, subject: str, resources: Mapping[str, Json]) -> dict[str, Any]:
    """Return the parameters of a call as `%variables`, people as resources where known (`resources` by `Type/id`).

    A parameter of `$apply` that the call does not give is empty, so that expressions may ask for it.
    """
    people = {
        "subject": subject,
        "encounter": context.encounter,
        "practitioner": context.practitioner,
        "organization": context.organization,
    }
    found = {name: resources.get(ref) or _stub(ref) for name, ref in people.items() if ref is not None}
    return {**NOT_GIVEN, **context.variables, "patient": found["subject"], **found}


def _stub(reference: str) -> Json:
    """Return what is known of a resource that is not in the record: its type and id."""
    kind, _, logical = reference.rpartition("/")
    return {"resourceType": kind.rpartition("/")[2], "id": logical} if kind else _EMPTY
