"""CQL text to ELM with the official translator, run by Node.js at authoring time only.

The service never comes here: it reads the ELM that `fhir-cds build` has committed.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec

from fhir_cds.errors import ContentError

TRANSLATOR: Final = Path(__file__).parent / "translator"

# Static types and source positions for the compiler, comment tags for facts; no silent demotion or promotion of lists.
OPTIONS: Final = (
    "EnableLocators",
    "EnableResultTypes",
    "EnableAnnotations",
    "DisableListDemotion",
    "DisableListPromotion",
)
SIGNATURE_LEVEL: Final = "Overloads"
MODEL_INFO: Final = "cql-exec-fhir/lib/modelInfos/fhir-modelinfo-4.0.1.xml"


@dataclass(frozen=True, slots=True)
class Note:
    """What the translator has to say about one library; `locator` is `line:col`."""

    library: str
    message: str
    locator: str | None

    def __str__(self) -> str:
        return f"{self.library}.cql:{self.locator or '1:1'}: {self.message}"


@dataclass(frozen=True, slots=True)
class Translated:
    """One library as translated: its ELM document (as the translator wrote it) and its warnings."""

    elm: Mapping[str, Any]
    warnings: tuple[Note, ...]


@dataclass(frozen=True, slots=True)
class Translation:
    """The answer to one translation job: the translator's version and a library per name asked for."""

    version: str
    libraries: Mapping[str, Translated]


class TranslatorMissingError(ContentError):
    """Node.js or the pinned translator is not installed here."""


class TranslationError(ContentError):
    """CQL that does not translate; `notes` has one entry per error, with its place."""

    def __init__(self, notes: Sequence[Note]) -> None:
        self.notes = tuple(notes)
        super().__init__("\n".join(map(str, self.notes)))


def requirements() -> dict[str, str]:
    """Return the npm packages of the translator with their pinned versions."""
    package = msgspec.json.decode((TRANSLATOR / "package.json").read_bytes())
    return dict(package["dependencies"])


def version_installed(node_modules: Path) -> str | None:
    """Return the version of the translator in this folder, None when there is none."""
    package = node_modules / "@cqframework/cql/package.json"
    return str(msgspec.json.decode(package.read_bytes())["version"]) if package.is_file() else None


def missing(node_modules: Path) -> str | None:
    """Return in words what keeps the translator from running, None when all is there."""
    if shutil.which("node") is None:
        return "Node.js is not installed"
    found, wanted = version_installed(node_modules), requirements()["@cqframework/cql"]
    if found is None:
        return f"the CQL translator is not installed in {node_modules.name}/ (fhir-cds build --install)"
    if found != wanted:
        return f"the CQL translator is version {found}, pinned is {wanted} (fhir-cds build --install)"
    return None


def install(node_modules: Path) -> None:
    """Install the pinned translator with npm as this machine has it configured; writes nothing but `node_modules`."""
    npm = shutil.which("npm")
    if npm is None:
        raise TranslatorMissingError("npm is not installed; it comes with Node.js")
    packages = [f"{name}@{version}" for name, version in requirements().items()]
    command = [npm, "install", "--no-save", "--no-package-lock", "--no-audit", "--no-fund", "--prefix"]
    done = subprocess.run(  # noqa: S603 - fixed command, pinned packages
        [*command, str(node_modules.parent), *packages], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise TranslatorMissingError(f"npm could not install the translator:\n{done.stderr.strip()}")


def translate(sources: Mapping[str, str], names: Sequence[str], *, node_modules: Path) -> Translation:
    """Translate the libraries `names`; `sources` (name -> CQL) holds these and every library they include.

    Raises TranslatorMissingError without Node.js or the translator, TranslationError listing every CQL error.
    """
    if problem := missing(node_modules):
        raise TranslatorMissingError(problem)
    job = {"nodeModules": str(node_modules), "options": OPTIONS, "sources": dict(sources), "translate": list(names)}
    done = subprocess.run(  # noqa: S603 - our own script
        [shutil.which("node") or "node", str(TRANSLATOR / "translate.mjs")],
        input=msgspec.json.encode(job),
        capture_output=True,
        check=False,
    )
    if done.returncode:
        raise TranslatorMissingError(f"the CQL translator failed:\n{done.stderr.decode(errors='replace').strip()}")
    answer = msgspec.json.decode(done.stdout)
    libraries: Mapping[str, Any] = answer["libraries"]
    errors = [note for name in names for note in _notes(name, libraries[name]["errors"])]
    if errors:
        raise TranslationError(errors)
    return Translation(
        answer["translator"],
        {name: Translated(libraries[name]["elm"], tuple(_notes(name, libraries[name]["warnings"]))) for name in names},
    )


def _notes(library: str, entries: Sequence[Mapping[str, Any]]) -> list[Note]:
    return [Note(library, entry["message"], entry["locator"]) for entry in entries]
