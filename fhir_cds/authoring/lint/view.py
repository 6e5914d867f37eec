"""What the rules look at: the content of one root as it stands in its files, read leniently."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple

from fhir_cds.authoring import build, cases, elm_graph
from fhir_cds.authoring.cases import Case
from fhir_cds.authoring.elm_graph import Logic
from fhir_cds.errors import ContentError, FhirCdsError, InputError
from fhir_cds.fhir.codec import decode

Json = Mapping[str, Any]
PLANS: Final = "org.fhir-cds.plans"


class Remark(NamedTuple):
    """What a rule found: file (with the path inside it, where that helps) and a sentence."""

    where: str
    text: str


@dataclass(frozen=True, slots=True)
class File:
    """One JSON file of the content."""

    path: Path
    name: str
    document: Json

    @property
    def kind(self) -> str:
        """Resource type ("" for a hook)."""
        return str(self.document.get("resourceType", ""))

    @property
    def generated(self) -> bool:
        """Say whether `fhir-cds build` writes it."""
        return self.kind == "Library"


@dataclass(frozen=True, slots=True)
class Catalogue:
    """The catalogue of recommendations and codes that the content restates, where it is at hand."""

    recommendations: Mapping[str, Json]
    codes: frozenset[tuple[str, str]]
    unverified: frozenset[tuple[str, str]]
    facts: frozenset[str]
    points: frozenset[str] = frozenset()
    """Ids of the ambiguities and conflicts."""


@dataclass(frozen=True, slots=True)
class Content:
    """All of a content root; `broken` are the case files that cannot be read."""

    root: Path
    base: str
    files: tuple[File, ...]
    hooks: tuple[File, ...]
    logic: Logic
    cases: tuple[Case, ...]
    broken: tuple[tuple[Path, FhirCdsError], ...]
    catalogue: Catalogue | None

    def of(self, *kinds: str) -> Iterator[File]:
        """Yield the files of these resource types."""
        return (file for file in self.files if file.kind in kinds)

    def authored(self) -> Iterator[File]:
        """Yield the resources that people write."""
        return (file for file in self.files if not file.generated)

    def canonicals(self) -> frozenset[str]:
        """Return every canonical of the content, with and without version."""
        urls = [(file.document.get("url"), file.document.get("version")) for file in self.files]
        return frozenset(text for url, version in urls if url for text in (url, f"{url}|{version}"))

    def recommendations(self) -> Iterator[tuple[File, str, str]]:
        """Yield each recommendation plan with its source and number."""
        for file in self.of("PlanDefinition"):
            for identifier in file.document.get("identifier", ()):
                if identifier.get("system") == f"{self.base}/recommendation":
                    source, _, number = identifier.get("value", "").partition(":")
                    yield file, source, number


def read(root: Path, catalogue: Path | None = None) -> Content:
    """Return the content under `root`; raises ContentError for a file that is not JSON."""
    files = tuple(_files(root, ("plandefinitions", "valuesets")))
    hooks = tuple(_files(root, ("hooks",)))
    elm = {path.stem: _json(path, root) for path in sorted((root / build.ELM).glob("*.json"))}
    loaded = list(cases.load_all(root)) if (root / cases.CASES / cases.WORDS).is_file() else []
    return Content(
        root=root,
        base=_json(root / build.METADATA, root)["url"],
        files=files,
        hooks=hooks,
        logic=elm_graph.logic(elm),
        cases=tuple(case for case in loaded if isinstance(case, Case)),
        broken=tuple(case for case in loaded if not isinstance(case, Case)),
        catalogue=read_catalogue(catalogue) if catalogue else None,
    )


def read_catalogue(folder: Path) -> Catalogue:
    """Return the catalogue in a folder with `recommendations.json` and `coding.json`."""
    document = _json(folder / "recommendations.json", folder)
    coding = _json(folder / "coding.json", folder)
    entries = [code for holder in (*coding["facts"], *coding["value_sets"]) for code in holder.get("codes", ())]
    local = {concept["code"] for concept in coding["local_code_system"]["concepts"]}
    return Catalogue(
        recommendations={entry["id"]: entry for entry in document["recommendations"]},
        codes=frozenset((code["system"], code["code"]) for code in entries) | {("", code) for code in local},
        unverified=frozenset((c["system"], c["code"]) for c in entries if c.get("verified_in", "-") in {"", None}),
        facts=frozenset(fact["id"] for fact in coding["facts"]),
        points=frozenset(point["id"] for kind in ("ambiguities", "conflicts") for point in document.get(kind, ())),
    )


def walk(value: Any, path: str = "") -> Iterator[tuple[str, Json]]:
    """Yield every object in a document with its FHIRPath-like path."""
    if isinstance(value, Mapping):
        yield path, value
        for key, item in value.items():
            yield from walk(item, f"{path}.{key}" if path else key)
    elif isinstance(value, Sequence) and not isinstance(value, str):
        for index, item in enumerate(value):
            yield from walk(item, f"{path}[{index}]")


def strings(document: Json) -> Iterator[tuple[str, str, str]]:
    """Yield (path, key, text) of every string in a document."""
    for path, node in walk(document):
        for key, value in node.items():
            for index, item in enumerate(value if isinstance(value, list) else [value]):
                if isinstance(item, str):
                    yield f"{path}.{key}[{index}]" if isinstance(value, list) else f"{path}.{key}".strip("."), key, item


def actions(plan: Json) -> Iterator[tuple[str, Json]]:
    """Yield every action of a plan with its path, parents first."""
    return ((path, node) for path, node in walk(plan.get("action", []), "action") if _is_action(path))


def _is_action(path: str) -> bool:
    return path.rpartition(".")[2].startswith("action[")


def _files(root: Path, folders: Sequence[str]) -> Iterator[File]:
    for folder in folders:
        for path in sorted((root / folder).glob("*.json")):
            yield File(path, path.relative_to(root).as_posix(), _json(path, root))


def _json(path: Path, root: Path) -> Any:
    try:
        return decode(path.read_bytes(), where=path.relative_to(root).as_posix(), unique_keys=True)
    except InputError as error:
        raise ContentError(error.message, where=error.where) from None
    except OSError as error:
        raise ContentError(f"cannot be read: {error.strerror}", where=path.name) from None
