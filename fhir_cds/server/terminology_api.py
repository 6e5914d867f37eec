"""`ValueSet/$expand`, `ValueSet/$validate-code`, `CodeSystem/$lookup` on the content (R4 §4.9.18, §4.8.13)."""

from __future__ import annotations

from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from fhir_cds.errors import InputError, NotFoundError
from fhir_cds.knowledge.registry import canonical_of
from fhir_cds.server import operations
from fhir_cds.server.errors import FHIR_JSON, json_response
from fhir_cds.server.parameters import Given, given
from fhir_cds.server.state import loaded
from fhir_cds.terminology import local


async def expand(request: Request) -> Response:
    """Answer `ValueSet[/id]/$expand`; the timestamp is that of the content, so that equal calls get equal answers."""
    asked = await given(request, operations.EXPAND)
    content = loaded(request)
    text, offset, count = asked.text("filter"), asked.whole("offset"), asked.whole("count")
    canonical = _valueset(request, asked)
    made = local.expand(content.knowledge.registry, canonical, text or "", offset or 0, count)
    used = [("filter", "String", text), ("offset", "Integer", offset), ("count", "Integer", count)]
    parameters = [{"name": name, f"value{kind}": value} for name, kind, value in used if value is not None]
    expansion = {"timestamp": content.started.isoformat(timespec="seconds"), **made["expansion"]}
    if parameters:  # R4 has the parameters between offset and the codes
        codes = {"contains": expansion.pop("contains")} if "contains" in expansion else {}
        expansion = {**expansion, "parameter": parameters, **codes}
    return json_response({**made, "expansion": expansion}, media_type=FHIR_JSON)


async def validate_code(request: Request) -> Response:
    """Answer `ValueSet[/id]/$validate-code`."""
    asked = await given(request, operations.VALIDATE_CODE)
    registry, canonical = loaded(request).knowledge.registry, _valueset(request, asked)
    answers = [local.validate_code(registry, canonical, system, code) for system, code in _codings(asked)]
    answer = next((one for one in answers if one["parameter"][0]["valueBoolean"]), answers[0])
    shown = {parameter["name"]: parameter for parameter in answer["parameter"]}
    display, own = asked.text("display"), shown.get("display", {}).get("valueString")
    if display is not None and own is not None and display.casefold() != own.casefold():
        told = {"name": "message", "valueString": f'the code is in the value set; its display there is "{own}"'}
        shown = {**shown, "result": {"name": "result", "valueBoolean": False}, "message": told}
    order = [shown[name] for name in ("result", "message", "display") if name in shown]
    return json_response({**answer, "parameter": order}, media_type=FHIR_JSON)


async def lookup(request: Request) -> Response:
    """Answer `CodeSystem/$lookup`."""
    asked = await given(request, operations.LOOKUP)
    (system, code), *others = _codings(asked)
    if others:
        raise InputError("give code and system, or one coding", where="coding")
    version = asked.text("version")
    registry = loaded(request).knowledge.registry
    return json_response(
        local.lookup(registry, f"{system}|{version}" if version else system, code), media_type=FHIR_JSON
    )


def _valueset(request: Request, asked: Given) -> str:
    """Return the canonical of the value set: of the address, else of the parameters; never both."""
    name, url, version = request.path_params.get("id"), asked.text("url"), asked.text("valueSetVersion")
    if (name is None) == (url is None):
        raise InputError("name one value set: its id in the address, or the parameter url", where="url")
    if name is not None:
        return canonical_of(loaded(request).knowledge.registry.by_id("ValueSet", name))
    canonical = f"{url}|{version}" if version else str(url)
    if loaded(request).knowledge.registry.find(canonical, "ValueSet") is None:
        raise NotFoundError(f"ValueSet {canonical} is not in the content", where="url")
    return canonical


def _codings(asked: Given) -> list[tuple[str, str]]:
    """Return (system, code) of the codes asked about: code and system, a Coding, or those of a CodeableConcept."""
    given_so = [name for name in ("code", "coding", "codeableConcept") if name in asked]
    if len(given_so) != 1:
        raise InputError("give code and system, coding, or codeableConcept", where="code")
    if given_so == ["code"]:
        listed = [{"system": asked.text("system"), "code": asked.text("code")}]
    elif given_so == ["coding"]:
        listed = [asked.value("coding")]
    else:
        listed = (asked.concept("codeableConcept") or {}).get("coding", [])
    found = [(item.get("system"), item.get("code")) for item in listed if isinstance(item, dict)]
    if not found or not all(isinstance(text, str) and text for pair in found for text in pair):
        raise InputError("a code needs its system", where=given_so[0])
    return [(str(system), str(code)) for system, code in found]


HANDLERS: Final = (
    (operations.EXPAND, expand),
    (operations.VALIDATE_CODE, validate_code),
    (operations.LOOKUP, lookup),
)
