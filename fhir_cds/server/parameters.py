"""The parameters of an operation as they come: a Parameters resource, a query string, or both (R4 §3.2.0.1.2)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from starlette.requests import Request

from fhir_cds.errors import InputError
from fhir_cds.fhir import reference
from fhir_cds.server.http import read_json
from fhir_cds.server.operations import MANY, Operation
from fhir_cds.server.state import state

Resource = dict[str, Any]

_CONTROL: Final = frozenset({"_format", "_pretty"})
_WHERE: Final = "Parameters.parameter"


async def given(request: Request, operation: Operation) -> Given:
    """Return the parameters of a call; raises InputError and HttpError as `of_body` and `read_json`."""
    pairs = of_query(request.query_params.multi_items())
    if request.method in {"GET", "HEAD"}:
        return Given.of(pairs, operation)
    body = of_body(await read_json(request, state(request).settings.body_limit_bytes))
    return Given.of([*pairs, *body], operation)


def of_query(pairs: Iterable[tuple[str, str]]) -> list[Resource]:
    """Return the parameters in a query string: simple ones only."""
    return [{"name": name, "valueString": value} for name, value in pairs if name not in _CONTROL]


def of_body(document: Any) -> list[Resource]:
    """Return the parameters in a Parameters resource; raises InputError naming what is wrong."""
    if not isinstance(document, dict) or document.get("resourceType") != "Parameters":
        raise InputError("a Parameters resource is expected", where="body")
    return named(document.get("parameter", []), _WHERE)


def named(value: Any, where: str) -> list[Resource]:
    """Return a list of parameters or parts; raises InputError for anything else."""
    if not isinstance(value, list) or not all(isinstance(item, dict) and item.get("name") for item in value):
        raise InputError("a list of named parameters is expected", where=where)
    return value


def any_value(item: Mapping[str, Any]) -> Any:
    """Return the value[x] of a parameter, whatever its type."""
    return next((value for name, value in item.items() if name.startswith("value")), None)


@dataclass(frozen=True, slots=True)
class Given:
    """The parameters of a call by name, in the order in which they came."""

    by_name: Mapping[str, list[Resource]]

    @classmethod
    def of(cls, listed: Iterable[Resource], operation: Operation) -> Given:
        """Return parameters that the operation has; raises InputError for others, and for one repeated that may not."""
        by_name: dict[str, list[Resource]] = {}
        for item in listed:
            by_name.setdefault(str(item["name"]), []).append(item)
        if strangers := sorted(set(by_name) - operation.names):
            text = f"not a parameter of ${operation.code}: {', '.join(strangers)}; {', '.join(sorted(operation.names))}"
            raise InputError(f"{text} are", where=_WHERE)
        for parameter in operation.parameters:
            if parameter.max != MANY and len(by_name.get(parameter.name, ())) > 1:
                raise InputError("may be given once", where=parameter.name)
        return cls(by_name)

    def __contains__(self, name: str) -> bool:
        return name in self.by_name

    def items(self, name: str) -> list[Resource]:
        """Return every occurrence of a parameter."""
        return self.by_name.get(name, [])

    def value(self, name: str) -> Any:
        """Return the value of a parameter, None when there is none."""
        found = self.items(name)
        return any_value(found[0]) if found else None

    def resource(self, name: str) -> Resource | None:
        """Return the resource of a parameter, None when there is none; raises InputError for what is no resource."""
        found = [item["resource"] for item in self.items(name) if "resource" in item]
        if found and not isinstance(found[0], dict):
            raise InputError("a resource is expected", where=name)
        return found[0] if found else None

    def texts(self, name: str) -> list[str]:
        """Return the texts of a parameter that may repeat; a Reference counts as its reference."""
        found = []
        for item in self.items(name):
            value = any_value(item)
            text = value.get("reference") if isinstance(value, dict) else value
            if not isinstance(text, str) or not text:
                raise InputError("a text is expected", where=name)
            found.append(text)
        return found

    def text(self, name: str) -> str | None:
        """Return the text of a parameter, None when it has none (a resource is looked at elsewhere)."""
        if any("resource" in item for item in self.items(name)):
            return None
        found = self.texts(name)
        return found[0] if found else None

    def reference(self, name: str, kind: str) -> str | None:
        """Return a reference `Type/id`."""
        text = self.text(name)
        return reference.with_type(text, kind) if text else None

    def flag(self, name: str) -> bool:
        """Return a Boolean, false when absent; raises InputError for anything else."""
        value = self.value(name)
        if value not in {None, True, False, "true", "false"}:
            raise InputError("true or false is expected", where=name)
        return value in {True, "true"}

    def whole(self, name: str) -> int | None:
        """Return a whole number that is not negative; raises InputError for anything else."""
        value = self.value(name)
        text = str(value)
        if value is None:
            return None
        if isinstance(value, bool) or not (text.isascii() and text.isdigit() and len(text) < 10):
            raise InputError("must be a whole number", where=name)
        return int(text)

    def concept(self, name: str) -> Resource | None:
        """Return a CodeableConcept; a plain text is its code."""
        value = self.value(name)
        if value is None:
            return None
        if isinstance(value, str):
            return {"coding": [{"code": value}]}
        codings = value.get("coding", []) if isinstance(value, dict) else None
        if not isinstance(codings, list) or not all(isinstance(coding, dict) for coding in codings):
            raise InputError("a CodeableConcept is expected", where=name)
        return dict(value)

    def parts(self, name: str) -> list[dict[str, Resource]]:
        """Return the parts of a parameter by name, for each occurrence."""
        place = f"{name}.part"
        return [{str(part["name"]): part for part in named(item.get("part", []), place)} for item in self.items(name)]
