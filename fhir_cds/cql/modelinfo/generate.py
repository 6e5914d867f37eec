"""Write the compact FHIR model table from the published model info XML (authoring time only).

    python -m fhir_cds.cql.modelinfo.generate path/to/fhir-modelinfo-4.0.1.xml [--check]

The table is text, one line per type, so that a change of the model reads as a diff:

    Name<Base@primaryCodePath|element:Type,element:Type*,choice:Type/Type
    Name=SystemType                       (a primitive: its JSON value is that CQL system type)

`*` marks a list, `/` the options of a choice; types are of the model itself unless written `System.X`.
"""

from __future__ import annotations

import argparse
import sys
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from pathlib import Path
from typing import Final

_NS: Final = "{urn:hl7-org:elm-modelinfo:r1}"
_XSI_TYPE: Final = "{http://www.w3.org/2001/XMLSchema-instance}type"


def table_path(model: str, version: str) -> Path:
    """Return where the committed table of a model version lies."""
    return Path(__file__).with_name(f"{model.lower()}-{version}.txt")


def generate(xml_text: str) -> tuple[Path, str]:
    """Return the table's path and its text for a model info document."""
    root = ET.fromstring(xml_text)  # noqa: S314 - a file of the pinned translator's package, read by the author
    model, version = root.get("name", ""), root.get("version", "")
    infos = {info.get("name", ""): info for info in root.iter(f"{_NS}typeInfo")}
    lines = [
        f"# {model} {version} {root.get('url', '')} - generated from the model info by fhir_cds.cql.modelinfo.generate"
    ]
    lines += [_line(infos[name], infos, model) for name in sorted(infos)]
    return table_path(model, version), "\n".join(lines) + "\n"


def is_fresh(xml_path: Path) -> bool:
    """Tell whether the committed table equals what the given model info gives (for `fhir-cds build --check`)."""
    path, text = generate(xml_path.read_text(encoding="utf-8"))
    return path.is_file() and path.read_text(encoding="utf-8") == text


def _line(info: ET.Element, infos: dict[str, ET.Element], model: str) -> str:
    name, base = info.get("name", ""), _local(info.get("baseType", ""), model)
    primitive = _primitive(info, infos, model)
    if primitive:
        return f"{name}={primitive}<{base}"
    head = f"{name}<{base}@{info.get('primaryCodePath') or ''}"
    return head + "|" + ",".join(f"{e.get('name')}:{_element(e, model)}" for e in info.findall(f"{_NS}element"))


def _primitive(info: ET.Element, infos: dict[str, ET.Element], model: str) -> str | None:
    """Return the system type of a FHIR primitive, following the base types up."""
    current: ET.Element | None = info
    while current is not None:
        for element in current.findall(f"{_NS}element"):
            kind = element.get("elementType") or element.get("type") or ""
            if element.get("name") == "value" and kind.startswith("System."):
                return kind.removeprefix("System.")
        current = infos.get(_local(current.get("baseType", ""), model))
    return None


def _element(element: ET.Element, model: str) -> str:
    named = element.get("elementType") or element.get("type")
    if named:
        return _local(named, model)
    specifier = element.find(f"{_NS}elementTypeSpecifier")
    return _specifier(specifier, model) if specifier is not None else "System.Any"


def _specifier(specifier: ET.Element, model: str) -> str:
    kind = specifier.get(_XSI_TYPE)
    if kind == "ListTypeSpecifier":
        inner = specifier.find(f"{_NS}elementTypeSpecifier")
        item = _local(specifier.get("elementType", ""), model) if inner is None else _specifier(inner, model)
        return item + "*"
    if kind == "ChoiceTypeSpecifier":
        return "/".join(_specifier(choice, model) for choice in specifier.findall(f"{_NS}choice"))
    if kind == "NamedTypeSpecifier":
        namespace = specifier.get("namespace") or model
        return _local(f"{namespace}.{specifier.get('name')}", model)
    raise ValueError(f"model info with a type specifier that the table cannot hold: {kind}")


def _local(name: str, model: str) -> str:
    return name.removeprefix(f"{model}.")


def main(argv: Sequence[str] | None = None) -> int:
    """Write the table, or with `--check` return 1 when the committed one differs."""
    parser = argparse.ArgumentParser(
        prog="fhir_cds.cql.modelinfo.generate", description="model info XML -> compact table"
    )
    parser.add_argument("xml", type=Path)
    parser.add_argument("--check", action="store_true")
    options = parser.parse_args(argv)
    if options.check:
        return 0 if is_fresh(options.xml) else 1
    path, text = generate(options.xml.read_text(encoding="utf-8"))
    path.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
