"""The structure of a definition that a caller sends, checked with fhir.resources (R4B = R4 for these types).

Content is checked when it is built; only what comes inline needs this. The classes are imported when first needed:
they take longer than the rest of the service together.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from pydantic import ValidationError

from fhir_cds.errors import InputError


def check_definition(resource: dict[str, Any], kind: str) -> None:
    """Raise InputError when a resource is not of type `kind`, or naming the first element that R4 does not allow."""
    if resource.get("resourceType") != kind:
        raise InputError(f"{kind} is expected", where="resourceType")
    model = getattr(import_module(f"fhir.resources.R4B.{kind.lower()}"), kind)
    try:
        model.model_validate(resource)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        place = ".".join(str(part) for part in (kind, *first["loc"]))
        raise InputError(f"not R4: {first['msg']}", where=place) from None
    except (KeyError, ValueError, TypeError, AttributeError, RecursionError) as error:
        raise InputError(f"not R4: {type(error).__name__}", where=str(kind)) from None
