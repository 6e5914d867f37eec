"""Functions that FHIR adds to FHIRPath (FHIR R4, "FHIRPath", section 2.9.1.5), and `type()`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from fhir_cds.cql.fhirpath import nodes
from fhir_cds.cql.fhirpath.errors import FhirPathError
from fhir_cds.cql.fhirpath.nodes import Node
from fhir_cds.cql.fhirpath.scope import Scope, single
from fhir_cds.cql.modelinfo import known_type

Items = list[Any]
_DEFINITION: Final = "http://hl7.org/fhir/StructureDefinition/"


def extension(items: Items, scope: Scope, url: Items) -> Items:
    """Return the extensions of a URL, of primitives too."""
    wanted = single(url, scope, "extension()")
    if wanted is None:
        return []
    found = [each for item in items if type(item) is Node for each in nodes.child(item, "extension")]
    return [each for each in found if isinstance(each.value, dict) and each.value.get("url") == wanted]


def has_value(items: Items, _scope: Scope) -> Items:
    """Return whether there is a single primitive with a value."""
    return [bool(_primitive_value(items))]


def get_value(items: Items, scope: Scope) -> Items:
    """Return the system value of a single primitive."""
    return [nodes.to_system(item, scope.run.offset) for item in _primitive_value(items)]


def _primitive_value(items: Items) -> Items:
    if len(items) != 1:
        return []
    item = items[0]
    if type(item) is not Node:
        return items
    return items if item.value is not None and not isinstance(item.value, dict) else []


def resolve(items: Items, scope: Scope) -> Items:
    """Return the resources that references and URLs point to; what is not found is left out."""
    found: Items = []
    for item in items:
        scope.run.step()
        reference = _reference(item, scope)
        if reference is None:
            continue
        if reference.startswith("#"):
            found.extend(_contained(scope, reference[1:]))
        elif scope.run.resolve is None:
            raise FhirPathError("resolve() has nothing to resolve with: pass resolve")
        else:
            found.extend(nodes.wrap(scope.run.resolve(reference)))
    return found


def _reference(item: Any, scope: Scope) -> str | None:
    value = item.value.get("reference") if type(item) is Node and isinstance(item.value, dict) else None
    if value is None:
        value = nodes.to_system(item, scope.run.offset)
    return value if isinstance(value, str) else None


def _contained(scope: Scope, name: str) -> Items:
    for root in scope.run.root:
        if type(root) is Node and isinstance(root.value, dict):
            if not name:
                return [root]
            for each in root.value.get("contained", ()):
                if each.get("id") == name:
                    return nodes.wrap(each)
    return []


def member_of(items: Items, scope: Scope, canonical: Items) -> Items:
    """Return whether a code, Coding or CodeableConcept is in a value set; raises FhirPathError for an unknown one."""
    url = single(canonical, scope, "memberOf()")
    if not items or url is None:
        return []
    item = single(items, scope, "memberOf()")
    codes = scope.run.terminology(url) if scope.run.terminology is not None else None
    if codes is None:
        raise FhirPathError(f"the value set {url} is not known here")
    if isinstance(item, str):
        return [any(code == item for _, code in codes)]
    if type(item) is not Node or not isinstance(item.value, dict):
        return []
    codings = item.value.get("coding", [] if item.type == "FHIR.CodeableConcept" else [item.value])
    members = codes if isinstance(codes, frozenset | set) else frozenset(codes)
    return [any((coding.get("system"), coding.get("code")) in members for coding in codings)]


def conforms_to(items: Items, scope: Scope, profile: Items) -> Items:
    """Return whether a resource is of a type of FHIR itself; raises FhirPathError for any other profile."""
    url = single(profile, scope, "conformsTo()")
    if not items or url is None:
        return []
    name = url.removeprefix(_DEFINITION)
    if name == url or not known_type(f"FHIR.{name}"):
        raise FhirPathError("conformsTo() knows the types of FHIR itself only")
    if len(items) > 1:
        raise FhirPathError("conformsTo() needs a single item")
    return [nodes.is_a(items[0], ("FHIR", name))]


def type_(items: Items, _scope: Scope) -> Items:
    """Return namespace and name of the type of each item."""
    return [Node(dict(zip(("namespace", "name"), nodes.type_of(item), strict=True)), None) for item in items]


def is_(items: Items, names: tuple[str, ...]) -> Items:
    """Return whether the only item is of the type; raises FhirPathError for several."""
    if len(items) > 1:
        raise FhirPathError(f"'is' needs a single item, found {len(items)}")
    return [nodes.is_a(item, names) for item in items]


def as_(items: Items, names: tuple[str, ...]) -> Items:
    """Return the only item if it is of the type; raises FhirPathError for several."""
    if len(items) > 1:
        raise FhirPathError(f"'as' needs a single item, found {len(items)}")
    return of_type(items, names)


def of_type(items: Items, names: tuple[str, ...]) -> Items:
    """Return the items of the type."""
    return [item for item in items if nodes.is_a(item, names, exact_primitive=True)]


VALUES: Final[dict[str, tuple[int, int, Callable[..., Items]]]] = {
    "extension": (1, 1, extension),
    "hasValue": (0, 0, has_value),
    "getValue": (0, 0, get_value),
    "resolve": (0, 0, resolve),
    "memberOf": (1, 1, member_of),
    "conformsTo": (1, 1, conforms_to),
    "type": (0, 0, type_),
}
TYPES: Final[dict[str, Callable[[Items, tuple[str, ...]], Items]]] = {"is": is_, "as": as_, "ofType": of_type}
