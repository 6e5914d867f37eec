"""The operations of the FHIR API as one table: routes, statements, definitions and checks follow it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

Level = Literal["system", "type", "instance"]

MANY: Final = "*"
_HL7: Final = "http://hl7.org/fhir/OperationDefinition/"
_CPG: Final = "http://hl7.org/fhir/uv/cpg/OperationDefinition/"
_CRMI: Final = "http://hl7.org/fhir/uv/crmi/OperationDefinition/"
_SDC: Final = "http://hl7.org/fhir/uv/sdc/OperationDefinition/"


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter of an operation: name, FHIR type, what it means, how often."""

    name: str
    type: str
    text: str
    max: str = "1"
    min: int = 0
    parts: tuple[Parameter, ...] = ()


@dataclass(frozen=True, slots=True)
class Operation:
    """An operation: its code, the type it is on (None: the server), its levels and parameters.

    `base` is the published OperationDefinition that it extends, None for one of our own.
    """

    code: str
    type: str | None
    title: str
    base: str | None
    result: str
    levels: tuple[Level, ...]
    parameters: tuple[Parameter, ...]

    @property
    def id(self) -> str:
        """Id of its OperationDefinition."""
        return f"{self.type}-{self.code}" if self.type else self.code

    @property
    def names(self) -> frozenset[str]:
        """Names of its parameters."""
        return frozenset(parameter.name for parameter in self.parameters)

    def paths(self) -> tuple[str, ...]:
        """Return its addresses below `/fhir`, as route templates."""
        places = {"system": "", "type": f"/{self.type}", "instance": f"/{self.type}/{{id}}"}
        return tuple(f"{places[level]}/${self.code}" for level in self.levels)


_P: Final = Parameter
_URL: Final = (
    _P("url", "uri", "Canonical of the definition, at type level"),
    _P("version", "string", "Its version; the latest when absent"),
    _P("canonical", "canonical", "url|version in one"),
)
_DATA: Final = (
    _P("useServerData", "boolean", "Taken and without effect: this server holds no patient data"),
    _P("data", "Bundle", "The patient's data; of several subjects in one Bundle, each resource goes to its own"),
    _P(
        "prefetchData",
        "Element",
        "Data by key; a key without data is known to be empty",
        MANY,
        parts=(
            _P("key", "string", "Key of the prefetch template", min=1),
            _P("descriptor", "DataRequirement", "What the data are"),
            _P("data", "Bundle", "The data; absent: none exist"),
        ),
    ),
    _P("dataEndpoint", "Endpoint", "FHIR server to read from what the call does not bring: an Endpoint or its URL"),
    _P("contentEndpoint", "Endpoint", "Not used: content is that of this server; the answer says so"),
    _P("terminologyEndpoint", "Endpoint", "Not used: value sets are those of this server; the answer says so"),
    _P("artifactEndpointConfiguration", "Element", "Not used, as contentEndpoint", MANY),
    _P("evaluationDateTime", "dateTime", "Instant of evaluation; the present when absent"),
)
_PARAMETERS: Final = _P("parameters", "Parameters", "CQL parameters by name")
_CALL: Final = (
    _P("encounter", "string", "Encounter/id"),
    _P("practitioner", "string", "Practitioner/id: author of the plan, requester of the orders"),
    _P("organization", "string", "Organization/id"),
    _P("userType", "CodeableConcept", "Kind of user; %userType in expressions"),
    _P("userLanguage", "CodeableConcept", "Language of the result; %userLanguage"),
    _P("userTaskContext", "CodeableConcept", "Task of the user; %userTaskContext"),
    _P("setting", "CodeableConcept", "Setting; %setting"),
    _P("settingContext", "CodeableConcept", "More on the setting; %settingContext"),
    _PARAMETERS,
)
_REQUEST_STATUS: Final = _P(
    "requestStatus", "code", "Status of plan and orders: draft, which is the default, or active"
)
_PLAN: Final = (
    _P("subject", "string", "Patient/id", MANY, 1),
    _P("planDefinition", "PlanDefinition", "The plan itself, at type level"),
    *_URL,
    *_CALL,
    *_DATA,
    _P("mergeNestedCarePlans", "boolean", "Fold nested plans into the outer one"),
    _P("selectedAction", "string", "Id of an action that a clinician chose; the others are left out", MANY),
    _P("documentedOmission", "string", "Id of a required action whose omission has a documented reason", MANY),
    _P(
        "actionStart",
        "Element",
        "Day on which an action starts; related actions are counted from it",
        MANY,
        parts=(_P("action", "string", "Id of the action", min=1), _P("start", "dateTime", "Its start", min=1)),
    ),
    _P("start", "date", "Day from which the plan's timings are counted; the result then holds a request for each date"),
    _P("until", "date", "Last day of timings that have no end"),
    _P("collectTasks", "boolean", "A Task to fill in a Questionnaire, in place of a reference to it"),
    _REQUEST_STATUS,
)
_CODING: Final = (
    _P("code", "code", "Code"),
    _P("system", "uri", "Its system"),
    _P("coding", "Coding", "Code and system in one"),
)

APPLY: Final = Operation(
    "apply",
    "PlanDefinition",
    "Apply a plan: a CarePlan; for several subjects a Bundle of them",
    f"{_HL7}PlanDefinition-apply",
    "CarePlan",
    ("type", "instance"),
    _PLAN,
)
APPLY_R5: Final = Operation(
    "r5.apply",
    "PlanDefinition",
    "Apply a plan: Parameters with a Bundle for each subject, its RequestGroup first",
    "http://hl7.org/fhir/5.0/OperationDefinition/PlanDefinition-apply",
    "Bundle",
    ("type", "instance"),
    _PLAN,
)
APPLY_ACTIVITY: Final = Operation(
    "apply",
    "ActivityDefinition",
    "Make the request that an activity describes",
    f"{_HL7}ActivityDefinition-apply",
    "DomainResource",
    ("type", "instance"),
    (
        _P("subject", "string", "Patient/id", min=1),
        _P("activityDefinition", "ActivityDefinition", "The activity itself, at type level"),
        *_URL,
        *_CALL,
        *_DATA,
        _REQUEST_STATUS,
    ),
)
DATA_REQUIREMENTS: Final = Operation(
    "data-requirements",
    "PlanDefinition",
    "What data a plan and those within it read, as a Library",
    f"{_CRMI}crmi-data-requirements",
    "Library",
    ("type", "instance"),
    _URL,
)
PACKAGE: Final = Operation(
    "package",
    "PlanDefinition",
    "A plan with all it needs as a transaction Bundle",
    f"{_CRMI}crmi-package",
    "Bundle",
    ("type", "instance"),
    _URL,
)
EVALUATE: Final = Operation(
    "evaluate",
    "Library",
    "Values of the defines of a library for a patient",
    f"{_CPG}cpg-library-evaluate",
    "Parameters",
    ("type", "instance"),
    (
        _P("subject", "string", "Patient/id", min=1),
        *_URL,
        _P("expression", "string", "Name of a define; all defines about the patient when absent", MANY),
        _PARAMETERS,
        *_DATA,
    ),
)
CQL: Final = Operation(
    "cql",
    None,
    "Value of a define, by its name: `Library.Define`; other CQL is not run",
    f"{_CPG}cpg-cql",
    "Parameters",
    ("system",),
    (
        _P("subject", "string", "Patient/id", min=1),
        _P("expression", "string", "Name of a define, with its library before it", min=1),
        _P("library", "Element", "Library, as part url", MANY, parts=(_P("url", "canonical", "Canonical", min=1),)),
        _PARAMETERS,
        *_DATA,
    ),
)
EXPAND: Final = Operation(
    "expand",
    "ValueSet",
    "All codes of a value set",
    f"{_HL7}ValueSet-expand",
    "ValueSet",
    ("type", "instance"),
    (
        _P("url", "uri", "Canonical of the value set, at type level"),
        _P("valueSetVersion", "string", "Its version"),
        _P("filter", "string", "Text that code or display must contain"),
        _P("offset", "integer", "First code of a page"),
        _P("count", "integer", "Size of a page"),
    ),
)
VALIDATE_CODE: Final = Operation(
    "validate-code",
    "ValueSet",
    "Whether a value set holds a code",
    f"{_HL7}ValueSet-validate-code",
    "Parameters",
    ("type", "instance"),
    (
        _P("url", "uri", "Canonical of the value set, at type level"),
        _P("valueSetVersion", "string", "Its version"),
        *_CODING,
        _P("codeableConcept", "CodeableConcept", "Codes of which one must be in it"),
        _P("display", "string", "Display to be compared"),
    ),
)
LOOKUP: Final = Operation(
    "lookup",
    "CodeSystem",
    "What a code of a code system means",
    f"{_HL7}CodeSystem-lookup",
    "Parameters",
    ("type",),
    (*_CODING, _P("version", "string", "Version of the system")),
)

POPULATE: Final = Operation(
    "populate",
    "Questionnaire",
    "A response begun with what the record tells, and the questionnaire with missing facts first",
    f"{_SDC}Questionnaire-populate",
    "Parameters",
    ("type", "instance"),
    (
        _P("questionnaire", "uri", "Canonical of the questionnaire, at type level"),
        _P("subject", "Reference", "Patient/id", min=1),
        _P("local", "boolean", "Taken and without effect: this server holds no patient data"),
        *_DATA,
    ),
)
EXTRACT: Final = Operation(
    "extract",
    "QuestionnaireResponse",
    "What a completed response says, as a transaction Bundle of resources to create",
    f"{_SDC}QuestionnaireResponse-extract",
    "Parameters",
    ("type",),
    (_P("questionnaire-response", "QuestionnaireResponse", "A completed response to a form of the content", min=1),),
)

OPERATIONS: Final = (
    APPLY,
    APPLY_R5,
    APPLY_ACTIVITY,
    DATA_REQUIREMENTS,
    PACKAGE,
    EVALUATE,
    CQL,
    EXPAND,
    VALIDATE_CODE,
    LOOKUP,
    POPULATE,
    EXTRACT,
)
