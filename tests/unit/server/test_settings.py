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
