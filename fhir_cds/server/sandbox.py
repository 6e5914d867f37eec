"""A small FHIR R4 endpoint over sample patients, so that a demonstration and the tests read over real HTTP.

Read and type search (`patient`, `subject`, `_id`, token parameters, `date`) with pages and next links; GET and
POST `_search`. It takes nothing in: every write is answered 405.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final
from urllib.parse import urlencode

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from fhir_cds.errors import InputError, NotFoundError
from fhir_cds.fhir import bundle, codec, reference
from fhir_cds.server.errors import FHIR_JSON, HANDLERS, json_response
from fhir_cds.server.http import FORM_LIMIT, read_form

Resource = dict[str, Any]

PAGE: Final = 50
LARGEST_PAGE: Final = 200
_SUBJECTS: Final = ("subject", "patient", "for", "beneficiary")
_TOKENS: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "code": ("code", "medicationCodeableConcept"),
        "category": ("category",),
        "status": ("status",),
        "clinical-status": ("clinicalStatus",),
        "verification-status": ("verificationStatus",),
        "intent": ("intent",),
        "type": ("type",),
        "identifier": ("identifier",),
    }
)
_DATES: Final = ("effectiveDateTime", "performedDateTime", "recordedDate", "onsetDateTime", "authoredOn", "started")
_COMPARE: Final[Mapping[str, Callable[[str, str], bool]]] = MappingProxyType(
    {
        "eq": lambda own, asked: own.startswith(asked),
        "ge": lambda own, asked: own[: len(asked)] >= asked,
        "gt": lambda own, asked: own[: len(asked)] > asked,
        "le": lambda own, asked: own[: len(asked)] <= asked,
        "lt": lambda own, asked: own[: len(asked)] < asked,
    }
)
_CONTROL: Final = frozenset({"_count", "_offset", "_sort", "_format", "_total", "_summary"})


class Store:
    """The resources of some patient Bundles, by type and id; `records` are those of each Bundle by its name.

    An id that an earlier Bundle has taken gets the Bundle's name before it, references included.
    """

    def __init__(self, bundles: Mapping[str, Resource]) -> None:
        self.patients: dict[str, str] = {}
        self.by_type: dict[str, dict[str, Resource]] = {}
        self.records: dict[str, tuple[Resource, ...]] = {}
        for name, document in bundles.items():
            self.records[name] = self._distinct(name, bundle.read(document, where=name).resources)
            for resource in self.records[name]:
                self.by_type.setdefault(resource["resourceType"], {})[resource["id"]] = resource
                if resource["resourceType"] == "Patient":
                    self.patients[name] = resource["id"]

    def _distinct(self, name: str, resources: Sequence[Resource]) -> tuple[Resource, ...]:
        """Return resources under ids that are still free."""
        taken = [item for item in resources if item["id"] in self.by_type.get(item["resourceType"], {})]
        names = {reference.of(item): f"{item['resourceType']}/{name}-{item['id']}" for item in taken}
        if not names:
            return tuple(resources)
        renamed = (
            {**item, "id": names.get(reference.of(item), reference.of(item)).partition("/")[2]} for item in resources
        )
        return tuple(reference.renamed(item, names) for item in renamed)

    @classmethod
    def load(cls, folder: Path) -> Store:
        """Return the store of a folder of Bundles (`<name>.json`); raises InputError when it holds none."""
        files = sorted(folder.glob("*.json")) if folder.is_dir() else []
        if not files:
            raise InputError("holds no patient Bundle (*.json)", where=str(folder))
        return cls({file.stem: codec.decode(file.read_bytes(), where=file.name) for file in files})

    def read(self, kind: str, identifier: str) -> Resource:
        """Return one resource; raises NotFoundError."""
        found = self.by_type.get(kind, {}).get(identifier)
        if found is None:
            raise NotFoundError("there is no such resource", where=kind)
        return found

    def search(self, kind: str, params: Iterable[tuple[str, str]]) -> list[Resource]:
        """Return the resources of a type that meet all parameters; raises InputError for a parameter not offered."""
        found = list(self.by_type.get(kind, {}).values())
        for name, value in params:
            if name not in _CONTROL:
                found = [resource for resource in found if _meets(resource, name, value)]
        return sorted(found, key=lambda resource: str(resource["id"]))


def application(store: Store) -> Starlette:
    """Return the endpoint as an ASGI application, to be mounted at any path."""

    async def metadata(_request: Request) -> Response:
        return json_response(_capability(store), media_type=FHIR_JSON)

    async def read(request: Request) -> Response:
        resource = store.read(request.path_params["kind"], request.path_params["id"])
        return json_response(resource, media_type=FHIR_JSON)

    async def search(request: Request) -> Response:
        pairs = list(request.query_params.multi_items())
        if request.method == "POST":
            pairs += await read_form(request, FORM_LIMIT)
        kind = request.path_params["kind"]
        mounted = request.scope.get("root_path", "")
        base = str(request.url.replace(path=mounted, query=""))
        return json_response(_page(store.search(kind, pairs), kind, pairs, base), media_type=FHIR_JSON)

    routes = [
        Route("/metadata", metadata),
        Route("/{kind}", search),
        Route("/{kind}/_search", search, methods=["POST", "GET"]),
        Route("/{kind}/{id}", read),
    ]
    return Starlette(routes=routes, exception_handlers=HANDLERS)


def _page(found: list[Resource], kind: str, pairs: list[tuple[str, str]], base: str) -> Resource:
    """Return one page of a search as a searchset with a next link where there is more."""
    given = dict(pairs)
    size = min(_number(given.get("_count"), PAGE), LARGEST_PAGE)
    offset = _number(given.get("_offset"), 0)
    page = bundle.searchset(found[offset : offset + size], base, len(found))
    if offset + size < len(found) and size > 0:
        query = [(name, value) for name, value in pairs if name != "_offset"]
        following = urlencode([*query, ("_offset", str(offset + size))])
        page["link"] = [{"relation": "next", "url": f"{base}/{kind}?{following}"}]
    return page


def _number(text: str | None, default: int) -> int:
    """Return a count or offset; raises InputError."""
    if text is None:
        return default
    if not (text.isascii() and text.isdigit()):
        raise InputError("must be a whole number", where="_count")
    return int(text)


def _meets(resource: Resource, name: str, value: str) -> bool:
    """Say whether a resource meets one search parameter; commas mean or."""
    choices = value.split(",")
    if name == "_id":
        return resource["id"] in choices
    if name in {"patient", "subject"}:
        return _subject(resource) in {reference.with_type(choice, "Patient") for choice in choices}
    if name == "date":
        return _dated(resource, value)
    if name in _TOKENS:
        tokens = _tokens(resource, _TOKENS[name])
        return any(_token(choice, tokens) for choice in choices)
    raise InputError("the sandbox does not offer this search parameter", where=name)


def _subject(resource: Resource) -> str | None:
    """Return `Patient/id` of whom a resource is about."""
    if resource["resourceType"] == "Patient":
        return f"Patient/{resource['id']}"
    if resource["resourceType"] == "Appointment":
        actors = (reference.relative(item.get("actor", {}).get("reference")) for item in resource["participant"])
        return next((actor for actor in actors if actor is not None and actor.startswith("Patient/")), None)
    return next((reference.relative(resource[key].get("reference")) for key in _SUBJECTS if key in resource), None)


def _tokens(resource: Resource, elements: Iterable[str]) -> set[tuple[str, str]]:
    """Return the (system, code) pairs of coded elements; a plain code has system ""."""
    found: set[tuple[str, str]] = set()
    for element in elements:
        value = resource.get(element)
        for item in value if isinstance(value, list) else [value]:
            if isinstance(item, str):
                found.add(("", item))
            elif isinstance(item, dict):
                codings = item.get("coding", [item])
                found |= {(str(c.get("system", "")), str(c.get("code", c.get("value", "")))) for c in codings}
    return found


def _token(choice: str, tokens: set[tuple[str, str]]) -> bool:
    """Say whether `system|code`, `|code`, `system|` or `code` is among the tokens."""
    system, bar, code = choice.rpartition("|")
    if not bar:
        return any(own == code for _, own in tokens)
    return any(own_system == system and code in {"", own} for own_system, own in tokens)


def _dated(resource: Resource, value: str) -> bool:
    """Say whether a resource's date meets a search value with its prefix."""
    own = next((str(resource[element]) for element in _DATES if element in resource), None)
    prefix, asked = (value[:2], value[2:]) if value[:2] in _COMPARE else ("eq", value)
    return own is not None and _COMPARE[prefix](own, asked)


def _capability(store: Store) -> Resource:
    """Return the CapabilityStatement of the sandbox."""
    params = [{"name": "patient", "type": "reference"}, {"name": "_id", "type": "token"}]
    params += [{"name": name, "type": "token"} for name in _TOKENS] + [{"name": "date", "type": "date"}]
    return {
        "resourceType": "CapabilityStatement",
        "status": "active",
        "date": "2026-01-01",
        "kind": "instance",
        "implementation": {"description": "Sample patients of fhir_cds, read only"},
        "fhirVersion": "4.0.1",
        "format": ["json"],
        "rest": [
            {
                "mode": "server",
                "resource": [
                    {
                        "type": kind,
                        "interaction": [{"code": "read"}, {"code": "search-type"}],
                        "searchParam": params,
                    }
                    for kind in sorted(store.by_type)
                ],
            }
        ],
    }
