"""FHIR model information for the compiler: types, elements, choices, primitives, primary code paths.

One generated text table per model version lies beside this module (see `generate`); types are parsed when asked for.
`MODELS` is where another model (QI-Core, US Core) is added: its URI and its table.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from typing import Final

from fhir_cds.cql.typesys import ANY, ChoiceOf, ListOf, Named, Type

FHIR_URI: Final = "http://hl7.org/fhir"
SYSTEM_URI: Final = "urn:hl7-org:elm-types:r1"
MODELS: Final[dict[str, tuple[str, str]]] = {FHIR_URI: ("FHIR", "fhir-4.0.1.txt")}
"""Model URI -> (namespace of its types in our type names, file of its table)."""
NAMESPACES: Final[dict[str, str]] = {SYSTEM_URI: "System", **{uri: name for uri, (name, _) in MODELS.items()}}

_SYSTEM_ELEMENTS: Final[dict[str, dict[str, str]]] = {
    "Quantity": {"value": "Decimal", "unit": "String"},
    "Ratio": {"numerator": "Quantity", "denominator": "Quantity"},
    "Code": {"code": "String", "system": "String", "version": "String", "display": "String"},
    "Concept": {"codes": "Code*", "display": "String"},
    "ValueSet": {"id": "String", "version": "String", "name": "String", "codesystems": "CodeSystem*"},
    "CodeSystem": {"id": "String", "version": "String", "name": "String"},
    "Vocabulary": {"id": "String", "version": "String", "name": "String"},
}


@dataclass(frozen=True, slots=True)
class ModelType:
    """One class of a model: `primitive` is the CQL system type of its JSON value, None for a complex type."""

    name: str
    base: str
    primitive: str | None
    code_path: str | None
    elements: dict[str, Type]


@lru_cache(maxsize=1)
def _lines() -> dict[str, str]:
    found: dict[str, str] = {}
    for namespace, file in MODELS.values():
        text = files(__package__).joinpath(file).read_text(encoding="utf-8")
        for line in text.splitlines()[1:]:
            name = line[: min(i for i in (line.find("<"), line.find("=")) if i > 0)]
            found[f"{namespace}.{name}"] = line
    return found


@lru_cache(maxsize=4096)
def model_type(name: str) -> ModelType | None:
    """Return the model's type by its full name (`FHIR.Observation`), or None if there is none."""
    line = _lines().get(name)
    if line is None:
        return None
    space = name.partition(".")[0]
    head, _, body = line.partition("|")
    left, _, base = head.partition("<")
    base, _, code_path = base.partition("@")
    primitive = left.partition("=")[2] or None
    elements = dict(_element(entry, space) for entry in body.split(",") if entry)
    full_base = base if base.startswith("System.") else f"{space}.{base}"
    return ModelType(name, full_base, primitive, code_path or None, elements)


def _element(entry: str, space: str) -> tuple[str, Type]:
    name, _, kind = entry.partition(":")
    many = kind.endswith("*")
    options = [_named(option, space) for option in kind.removesuffix("*").split("/")]
    found: Type = options[0] if len(options) == 1 else ChoiceOf(tuple(options))
    return name, ListOf(found) if many else found


def _named(name: str, space: str) -> Named:
    return Named(name if name.startswith("System.") else f"{space}.{name}")


@lru_cache(maxsize=8192)
def element_type(name: str, element: str) -> Type | None:
    """Return the type of an element of a type (inherited ones too), or None if the type has no such element."""
    if name.startswith("System."):
        kind = _SYSTEM_ELEMENTS.get(name.removeprefix("System."), {}).get(element)
        if kind is None:
            return None
        item = Named(f"System.{kind.removesuffix('*')}")
        return ListOf(item) if kind.endswith("*") else item
    current = model_type(name)
    if current is not None and current.primitive is not None and element == "value":
        return Named(f"System.{current.primitive}")
    while current is not None:
        if element in current.elements:
            return current.elements[element]
        current = model_type(current.base)
    return None


@lru_cache(maxsize=8192)
def is_subtype(name: str, base: str) -> bool:
    """Tell whether `name` is `base` or derived from it."""
    if base in (name, ANY.name):
        return True
    current = model_type(name)
    while current is not None:
        if current.base == base:
            return True
        current = model_type(current.base)
    return False


@lru_cache(maxsize=4096)
def primitive_of(name: str) -> str | None:
    """Return the CQL system type (`DateTime`) of a model primitive (`FHIR.instant`), None for other types."""
    found = model_type(name)
    return found.primitive if found else None


def is_resource(name: str) -> bool:
    """Tell whether a type is a FHIR resource, whose JSON says its own type."""
    return is_subtype(name, "FHIR.Resource")


def known_type(name: str) -> bool:
    """Tell whether a full type name exists in the system model or a registered one."""
    if name.startswith("System."):
        return name.removeprefix("System.") in _SYSTEM_TYPES
    return model_type(name) is not None


_SYSTEM_TYPES: Final[frozenset[str]] = frozenset(
    ["Any", "Boolean", "Integer", "Long", "Decimal", "String", "Date", "DateTime", "Time", *_SYSTEM_ELEMENTS]
)
