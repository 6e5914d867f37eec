"""CQL to ELM to Library: what is generated, when it is stale, and what is said of faulty CQL."""

import base64
from pathlib import Path

import pytest

from fhir_cds.authoring import build, elm_form, helpers, translate
from fhir_cds.authoring.translate import TranslationError, TranslatorMissingError
from fhir_cds.errors import ContentError
from fhir_cds.fhir.codec import decode, encode_pretty

ROOT = Path(__file__).parents[3]
LOGIC = build.CQL / "ToyLogic.cql"


def test_the_committed_stamp_is_that_of_the_cql(tmp_path: Path) -> None:
    """Without Node.js one can still see that the ELM of this checkout is made from its CQL."""
    sources = build.read_sources(ROOT, tmp_path)
    digests = {name: build.digest(name, sources) for name in sources}
    assert set(build.fresh_elm(ROOT, digests)) == set(sources)
    assert build.stale(ROOT, build.build(ROOT, tmp_path)) == []


def test_fresh_elm_needs_no_translator(toy: Path, tmp_path: Path) -> None:
    """Building again changes nothing and asks for no Node.js."""
    built = build.build(toy, tmp_path / "nowhere")
    assert built.translated == ()
    assert build.write(toy, built) == []


def test_changed_cql_asks_for_the_translator(toy: Path, tmp_path: Path) -> None:
    """A changed library, or one that includes it, is not taken from the old ELM; what is missing is said plainly."""
    facts = toy / build.CQL / "ToyFacts.cql"
    facts.write_text(facts.read_text() + "\n// more\n")
    sources = build.read_sources(toy, tmp_path)
    digests = {name: build.digest(name, sources) for name in sources}
    assert set(build.fresh_elm(toy, digests)) == {"FHIRHelpers"}
    with pytest.raises(TranslatorMissingError, match=r"Node\.js|translator"):
        build.build(toy, tmp_path / "nowhere")


def test_edited_elm_is_not_fresh(toy: Path, tmp_path: Path) -> None:
    """ELM that somebody touched by hand does not pass for generated."""
    elm = toy / build.ELM / "ToyLogic.json"
    elm.write_bytes(elm.read_bytes().replace(b'"And"', b'"Or"'))
    sources = build.read_sources(toy, tmp_path)
    digests = {name: build.digest(name, sources) for name in sources}
    assert "ToyLogic" not in build.fresh_elm(toy, digests)


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("plandefinitions/Library-ToyLogic.json", lambda text: text.replace("Toy guideline", "Other")),
        ("plandefinitions/cql/elm/elm.stamp", lambda text: text + "\n"),
    ],
)
def test_stale_files_are_named(toy: Path, tmp_path: Path, name: str, change) -> None:
    """Each generated file that differs is named, and written again."""
    path = toy / name
    sound = path.read_text()
    path.write_text(change(sound))
    built = build.build(toy, tmp_path / "nowhere")
    assert build.stale(toy, built) == [f"{name}: differs from what its CQL gives"]
    assert build.write(toy, built) == [Path(name)]
    assert path.read_text() == sound


def test_orphans_are_removed(toy: Path, tmp_path: Path) -> None:
    """ELM and Library of a library that is gone are reported, and removed by writing."""
    orphan = toy / "plandefinitions/Library-Gone.json"
    orphan.write_text("{}")
    built = build.build(toy, tmp_path / "nowhere")
    assert "no CQL library of that name" in build.stale(toy, built)[0]
    build.write(toy, built)
    assert not orphan.exists()


def test_missing_include_is_named(toy: Path, tmp_path: Path) -> None:
    """A library that is included and not there is named with the library that wants it."""
    (toy / build.CQL / "ToyFacts.cql").unlink()
    with pytest.raises(ContentError, match=r"ToyLogic\.cql: includes ToyFacts"):
        build.build(toy, tmp_path / "nowhere")


def test_library_resource_carries_cql_and_elm(toy: Path) -> None:
    """The Library holds both texts, its dependencies with versions, its data needs and its title."""
    library = decode((toy / "plandefinitions/Library-ToyFacts.json").read_bytes())
    texts = {entry["contentType"]: base64.b64decode(entry["data"]) for entry in library["content"]}
    assert texts["text/cql"] == (toy / build.CQL / "ToyFacts.cql").read_bytes()
    assert texts["application/elm+json"] == (toy / build.ELM / "ToyFacts.json").read_bytes()
    assert library["title"] == "Facts of the toy guideline"
    assert {artifact["resource"] for artifact in library["relatedArtifact"]} == {
        "https://fhir-cds.github.io/toy/Library/FHIRHelpers|4.0.1",
        "https://fhir-cds.github.io/toy/ValueSet/toy-temperature",
    }
    filters = {need["type"]: need.get("codeFilter") for need in library["dataRequirement"]}
    assert filters["Observation"] == [
        {"path": "code", "valueSet": "https://fhir-cds.github.io/toy/ValueSet/toy-temperature"}
    ]


def test_data_needs_are_those_of_included_libraries_too(toy: Path) -> None:
    """The logic's Library names what its facts read: a CDS Hooks server asks the EHR for that and no more."""
    needs = [
        decode((toy / f"plandefinitions/Library-{name}.json").read_bytes())["dataRequirement"]
        for name in ("ToyLogic", "ToyFacts")
    ]
    assert needs[0] == needs[1]
    assert [need["type"] for need in needs[0]] == ["MedicationStatement", "Observation", "Patient"]


def test_a_type_that_is_needed_whole_is_not_named_by_value_set_too() -> None:
    """A server makes one query of each requirement: the whole type holds what a value set would pick."""

    def retrieve(kind: str, name: str | None) -> dict[str, object]:
        codes = {"codeProperty": "code", "codes": {"type": "ValueSetRef", "name": name}} if name else {}
        return {"type": "Retrieve", "dataType": f"{elm_form.FHIR}{kind}", **codes}

    statements = [retrieve("Observation", "a"), retrieve("Observation", None), retrieve("Procedure", "a")]
    library = {
        "identifier": {"id": "Own"},
        "valueSets": {"def": [{"name": "a", "id": "urn:a"}]},
        "statements": {"def": statements},
    }
    assert elm_form.data_requirements({"library": library}, {}) == [
        {"type": "Observation"},
        {"type": "Procedure", "codeFilter": [{"path": "code", "valueSet": "urn:a"}]},
    ]


def test_library_metadata_that_is_false_stays(toy: Path, tmp_path: Path) -> None:
    """`experimental: false` says something; it is not left out as if it were nothing."""
    metadata = toy / build.METADATA
    metadata.write_text(metadata.read_text().replace('"experimental": true', '"experimental": false'))
    built = build.build(toy, tmp_path / "nowhere")
    assert decode(built.files[Path("plandefinitions/Library-ToyLogic.json")])["experimental"] is False


def test_stripped_keeps_tags_locators_and_types(toy: Path) -> None:
    """Narrative and local ids are gone; what error messages, explanations and the compiler need stays."""
    text = (toy / build.ELM / "ToyFacts.json").read_bytes()
    statement = next(d for d in elm_form.definitions(decode(text), "statements") if d["name"] == "Body Temperature")
    assert statement["annotation"] == [{"type": "Annotation", "t": [{"name": "fact", "value": "body_temperature"}]}]
    assert statement["locator"]
    assert statement["resultTypeName"] == "{http://hl7.org/fhir}Quantity"
    assert b"localId" not in text.replace(b"localIdentifier", b"")
    assert len(text.splitlines()) > len(elm_form.definitions(decode(text), "statements"))


def test_stripped_leaves_out_narrative() -> None:
    """An annotation with narrative but no tag disappears entirely."""
    tree = {
        "library": {"localId": "0", "annotation": [], "statements": {"def": [{"annotation": [{"s": {}, "t": []}]}]}}
    }
    assert elm_form.stripped(tree) == {"library": {"annotation": [], "statements": {"def": [{}]}}}


@pytest.mark.node
def test_committed_elm_is_what_the_translator_gives(node_modules: Path) -> None:
    """Translating everything again gives the committed files, byte for byte."""
    assert build.check(ROOT, node_modules) == []


@pytest.mark.node
def test_a_changed_threshold_changes_the_elm(toy: Path, node_modules: Path) -> None:
    """The check sees a change of one number in the CQL."""
    path = toy / LOGIC
    path.write_text(path.read_text().replace("38.0", "38.5"))
    complaints = build.check(toy, node_modules)
    assert f"{build.ELM}/ToyLogic.json: differs from what its CQL gives" in complaints
    assert not any("ToyFacts" in complaint for complaint in complaints)


@pytest.mark.node
def test_cql_errors_name_file_line_and_column(node_modules: Path) -> None:
    """Every error of a library is reported at its place."""
    cql = 'library Bad version \'1\'\ndefine "A": 1 + \'x\'\ndefine "B": "Nothing"\n'
    with pytest.raises(TranslationError) as caught:
        translate.translate({"Bad": cql}, ["Bad"], node_modules=node_modules)
    places = [str(note).split(": ")[0] for note in caught.value.notes]
    assert places == ["Bad.cql:2:13", "Bad.cql:3:13"]


@pytest.mark.node
def test_helpers_have_every_declared_conversion(node_modules: Path) -> None:
    """FHIRHelpers as committed is generated, and has a function for each of the 264 conversions of the model."""
    declared = helpers.conversions(node_modules)
    text = helpers.fhir_helpers(node_modules)
    assert len(declared) == 264
    for name, source in declared:
        model, _, kind = source.partition(".")
        assert f"define function {name}(" in text
        assert f' {model}."{kind}")' in text
    assert text.encode() == (ROOT / build.CQL / "FHIRHelpers.cql").read_bytes()


def test_wrong_translator_version_is_named(tmp_path: Path) -> None:
    """Another version than the pinned one would give another ELM: it is refused by name."""
    package = tmp_path / "@cqframework/cql/package.json"
    package.parent.mkdir(parents=True)
    package.write_bytes(encode_pretty({"version": "0.0.1"}))
    assert "0.0.1" in str(translate.missing(tmp_path)) or "Node.js" in str(translate.missing(tmp_path))
