"""Settings: precedence, safety, errors that do not repeat values."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from fhir_cds.errors import InputError
from fhir_cds.server.settings import Settings, is_loopback, load

ANYWHERE = ".".join("0000")
ISSUER = {"iss": "https://ehr.example.org", "jku": "https://ehr.example.org/jwks"}


def test_defaults_are_safe() -> None:
    """Out of the box: this machine only, no FHIR server, no other origin."""
    settings = load()
    assert settings.development
    assert settings.host == "127.0.0.1"
    assert settings.fhir_servers == settings.cors_origins == ()
    assert not settings.fhir_private_addresses


def test_flags_over_environment_over_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A flag beats the environment, which beats the file, which beats the default."""
    file = tmp_path / "s.toml"
    file.write_text('port = 1\nworkers = 2\nlog_level = "debug"\n')
    monkeypatch.setenv("FHIR_CDS_PORT", "3")
    monkeypatch.setenv("FHIR_CDS_WORKERS", "4")
    settings = load(file, port=5, host=None)
    assert (settings.port, settings.workers, settings.log_level, settings.host) == (5, 4, "debug", "127.0.0.1")


def test_content_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Folders are joined by the platform's separator."""
    monkeypatch.setenv("FHIR_CDS_CONTENT", "/a:/b")
    assert load().content == (Path("/a"), Path("/b"))


@pytest.mark.parametrize(
    "values",
    [
        {"host": ANYWHERE},
        {"mode": "development", "host": ANYWHERE},
        {"mode": "production"},
        {"host": ANYWHERE, "issuers": (ISSUER,)},
        {"issuers": ({**ISSUER, "jwks_file": "x"},), "public_url": "https://c"},
        {"issuers": ({"iss": "x"},), "public_url": "https://c"},
        {"issuers": ({**ISSUER, "jku": "http://x"},), "public_url": "https://c"},
        {"issuers": ({**ISSUER, "client_certificate": "CN=ehr"},), "public_url": "https://c"},
        {"cors_origins": ("*",)},
        {"cors_origins": ("https://e.org/path",)},
        {"fhir_servers": ("ehr.example.org",)},
        {"issuers": (ISSUER, {**ISSUER, "jku": "https://ehr.example.org/other"}), "public_url": "https://c"},
        {"issuers": (ISSUER,), "public_url": "cds.example.org"},
        {"issuers": (ISSUER,), "public_url": "http://cds.example.org"},
        {"issuers": (ISSUER,), "public_url": "https://cds.example.org?x=1"},
        {"smart_app_url": "not an address"},
        {"unknown": 1},
    ],
)
def test_unsafe_or_wrong_settings_do_not_start(values: dict[str, Any]) -> None:
    """What would leave the service open, or is a slip, is refused at the start."""
    with pytest.raises(ValidationError):
        Settings(**values)


def test_production_with_issuers() -> None:
    """Named issuers and a public address make a production service, on loopback too."""
    settings = Settings(issuers=(ISSUER,), public_url="https://cds.example.org")  # type: ignore[arg-type]
    assert not settings.development


def test_errors_name_the_setting_not_the_value(tmp_path: Path) -> None:
    """A wrong secret is not printed."""
    file = tmp_path / "s.toml"
    file.write_text('hash_key = ["s3cret"]\n')
    with pytest.raises(InputError, match="hash_key") as caught:
        load(file)
    assert "s3cret" not in str(caught.value)


def test_a_public_address_of_this_machine_may_be_plain_http() -> None:
    """Tokens can be tried as in production on one machine; a final slash changes nothing."""
    settings = Settings(issuers=(ISSUER,), public_url="http://127.0.0.1:8080/")  # type: ignore[arg-type]
    assert settings.public_url == "http://127.0.0.1:8080"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("prot = 1", "prot: there is no such setting"),
        ("[[issuers]]\niss = 'x'\njwks = 'y'", "issuers.0.jwks: there is no such setting"),
        ("host = '192.0.2.1'", "s.toml: no issuers: nobody could call"),
        ("workers = 0", "workers: Input should be greater than or equal to 1"),
    ],
)
def test_errors_are_sentences(tmp_path: Path, text: str, told: str) -> None:
    """What is wrong is said in words an operator knows, once."""
    file = tmp_path / "s.toml"
    file.write_text(text)
    with pytest.raises(InputError) as caught:
        load(file)
    assert told in str(caught.value)
    assert "Value error" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("FHIR_CDS_ISSUERS", "s3cret", "FHIR_CDS_ISSUERS: JSON is expected"),
        ("FHIR_CDS_HASHKEY", "s3cret", "FHIR_CDS_HASHKEY: there is no such setting; FHIR_CDS_HASH_KEY is one"),
        ("FHIR_CDS_FHIR_SERVER", "[]", "FHIR_CDS_FHIR_SERVER: there is no such setting; FHIR_CDS_FHIR_SERVERS is one"),
    ],
)
def test_slips_in_the_environment(monkeypatch: pytest.MonkeyPatch, name: str, value: str, told: str) -> None:
    """A variable that is misspelt, or holds no JSON where a list belongs, is named; its value is not."""
    monkeypatch.setenv(name, value)
    with pytest.raises(InputError) as caught:
        load()
    assert told in str(caught.value)
    assert "s3cret" not in str(caught.value)


def test_other_variables_are_no_slips(monkeypatch: pytest.MonkeyPatch) -> None:
    """Variables that the commands read besides are left alone."""
    for name in ("NODE_MODULES", "TOKEN", "TEST_STORE", "CHROMIUM", "FUZZ_EXAMPLES", "HAPI_URL", "HAPI_CACHE"):
        monkeypatch.setenv(f"FHIR_CDS_{name}", "x")
    load()


@pytest.mark.parametrize("text", ["port = ", "\xff"])
def test_broken_file(tmp_path: Path, text: str) -> None:
    """A file that is not TOML is named."""
    file = tmp_path / "s.toml"
    file.write_bytes(text.encode("latin-1"))
    with pytest.raises(InputError, match=r"s\.toml: not TOML"):
        load(file)


def test_missing_file(tmp_path: Path) -> None:
    """A file that is not there is named."""
    with pytest.raises(InputError, match="cannot be read"):
        load(tmp_path / "none.toml")


@pytest.mark.parametrize(
    ("host", "own"),
    [("127.0.0.1", True), ("::1", True), ("localhost", True), ("", False), (ANYWHERE, False), ("e.org", False)],
)
def test_loopback(host: str, own: bool) -> None:
    """Only this machine's own names count."""
    assert is_loopback(host) is own
