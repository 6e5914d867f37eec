"""The OperationDefinitions of the FHIR API, made of the table of its operations."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from fhir_cds.server.operations import Operation, Parameter

Resource = dict[str, Any]


def definition(operation: Operation, base: str, date: str) -> Resource:
    """Return the OperationDefinition of an operation on the server at `base` (`…/fhir`)."""
    made: Resource = {
        "resourceType": "OperationDefinition",
        "id": operation.id,
        "url": f"{base}/OperationDefinition/{operation.id}",
        "name": "".join(part.capitalize() for part in operation.id.replace(".", "-").split("-")),
        "title": operation.title,
        "status": "active",
        "kind": "operation",
        "date": date,
        "affectsState": False,
        "code": operation.code,
        "system": "system" in operation.levels,
        "type": "type" in operation.levels,
        "instance": "instance" in operation.levels,
        "parameter": [
            *_described(operation.parameters, "in"),
            {"name": "return", "use": "out", "min": 1, "max": "1", "type": operation.result},
        ],
    }
    if operation.base:
        made["base"] = operation.base
    if operation.type:
        made["resource"] = [operation.type]
    return made


def _described(parameters: Iterable[Parameter], use: str) -> list[Resource]:
    """Return parameters as an OperationDefinition describes them."""
    return [
        {
            "name": parameter.name,
            "use": use,
            "min": parameter.min,
            "max": parameter.max,
            "documentation": parameter.text,
            **({"part": _described(parameter.parts, use)} if parameter.parts else {"type": parameter.type}),
        }
        for parameter in parameters
    ]
