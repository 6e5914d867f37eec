"""Settings of the service: flags over environment (`FHIR_CDS_…`) over a TOML file over defaults that are safe.

Safe by default: no anonymous call from beyond this machine, no FHIR server that was not named, no other origin.
"""

from __future__ import annotations

import ipaddress
import os
import re
import tomllib
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Final, Literal
from urllib.parse import urlsplit

from msgspec import ValidationError as MsgspecError
from msgspec import convert
from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, NoDecode, PydanticBaseSettingsSource, SettingsConfigDict, SettingsError

from fhir_cds.cards.outgoing import Url
from fhir_cds.errors import InputError

PREFIX: Final = "FHIR_CDS_"
_QUOTED: Final = re.compile('"([^"]*)"')
_OWN_FAULT: Final = "Value error, "
_OWN_NAMES: Final = frozenset({"localhost", "127.0.0.1", "[::1]"})


class Issuer(BaseModel):
    """One EHR that may call: its `iss`, and where its public keys are (a JWK Set file, or an https address)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    iss: str = Field(min_length=1, max_length=256)
    jku: str | None = None
    jwks_file: Path | None = None
    tenants: tuple[str, ...] = ()
    client_certificate: str | None = Field(default=None, min_length=1)
    cds_hooks: Literal["2.0", "3.0"] = "2.0"
    rate_per_minute: int | None = Field(default=None, ge=1)

    @model_validator(mode="after")
    def _keys(self) -> Issuer:
        if (self.jku is None) == (self.jwks_file is None):
            raise ValueError("an issuer needs one of jku and jwks_file")
        if self.jku is not None and urlsplit(self.jku).scheme != "https":
            raise ValueError("jku must be an https address")
        return self


class Settings(BaseSettings):
    """Everything an operator can set; `fhir-cds config show` prints it with secrets masked."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_nested_delimiter="__", extra="forbid", frozen=True, validate_default=True
    )

    host: str = Field(default="127.0.0.1", description="Address to listen on.")
    port: int = Field(default=8080, ge=0, le=65535, description="Port to listen on; 0 takes a free one.")
    workers: int = Field(default=1, ge=1, le=64, description="Server processes.")
    content: Annotated[tuple[Path, ...], NoDecode] = Field(
        default=(), description="Content folders; in the environment joined by the path separator [built-in content]."
    )
    public_url: str | None = Field(default=None, description="Base URL that callers use; `aud` is compared with it.")

    mode: Literal["auto", "production", "development"] = Field(
        default="auto",
        description="development: callers and FHIR servers of this machine only, plain http allowed, no JWT unless "
        "issuers are set; auto: development when listening on loopback without issuers, else production.",
    )
    issuers: tuple[Issuer, ...] = Field(default=(), description="EHRs that may call, with their keys.")
    client_certificate_header: str | None = Field(
        default=None, description="Header in which the proxy says which client certificate it has checked (mutual TLS)."
    )
    trusted_proxies: tuple[str, ...] = Field(
        default=("127.0.0.1", "::1"), description="Addresses of proxies whose client_certificate_header is believed."
    )
    clock_skew_seconds: int = Field(default=60, ge=0, le=600, description="Tolerance on exp and iat of a JWT.")
    token_life_seconds: int = Field(default=900, ge=30, le=3600, description="Longest accepted life of a JWT.")
    cors_origins: tuple[str, ...] = Field(default=(), description="Browser origins that may call.")

    fhir_servers: tuple[str, ...] = Field(default=(), description="FHIR base URLs that may be read (allow-list).")
    fhir_private_addresses: bool = Field(default=False, description="Allow FHIR servers on private addresses.")
    fhir_timeout_seconds: float = Field(default=3.0, gt=0, le=60, description="Longest wait for one FHIR answer.")
    budget_seconds: float = Field(default=8.0, gt=0, le=120, description="Longest time for reading one patient.")

    body_limit_bytes: int = Field(default=8_000_000, ge=1_000, description="Greatest request body.")
    rate_per_minute: int = Field(default=600, ge=1, description="Calls per issuer (or address) and minute.")
    strict: bool = Field(default=False, description="Validate emitted FHIR resources before sending.")

    feedback_url: str = Field(
        default="sqlite:///fhir-cds-feedback.sqlite3", description="SQLAlchemy URL of the feedback and audit store."
    )
    feedback_retention_days: int = Field(default=730, ge=1, description="How long feedback and audit are kept.")
    hash_key: SecretStr = Field(default=SecretStr(""), description="Key of the patient id hash in the audit store.")
    trace_url: str | None = Field(
        default=None, description="OTLP/HTTP address that OpenTelemetry traces are sent to (extra otel) [no traces]."
    )
    smart_app_url: str | None = Field(default=None, description="Launch URL of a SMART app, linked from cards.")
    sandbox: Path | None = Field(default=None, description="Folder of sample patients to serve at /sandbox/fhir.")
    log_level: Literal["debug", "info", "warning", "error"] = Field(default="info", description="Least level logged.")

    @field_validator("content", mode="before")
    @classmethod
    def _folders(cls, value: Any) -> Any:
        return tuple(part for part in value.split(os.pathsep) if part) if isinstance(value, str) else value

    @field_validator("fhir_servers")
    @classmethod
    def _bases(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for base in value:
            if urlsplit(base).scheme not in {"http", "https"} or not urlsplit(base).hostname:
                raise ValueError("a FHIR server is given by its http(s) base URL")
        return tuple(base.rstrip("/") for base in value)

    @field_validator("cors_origins")
    @classmethod
    def _origins(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for origin in value:
            parts = urlsplit(origin)
            if not parts.netloc or parts.path not in {"", "/"} or origin == "*":
                raise ValueError("an origin is scheme://host[:port]; * is not allowed")
        return tuple(origin.rstrip("/") for origin in value)

    @field_validator("public_url")
    @classmethod
    def _public(cls, value: str | None) -> str | None:
        if value is None:
            return None
        parts = urlsplit(value)
        if parts.scheme not in {"http", "https"} or not parts.hostname or parts.query or parts.fragment:
            raise ValueError("the base URL that callers use is expected, https://cds.example.org")
        if parts.scheme == "http" and not is_loopback(parts.hostname):
            raise ValueError("https is needed, but for an address of this machine")
        return value.rstrip("/")

    @field_validator("smart_app_url")
    @classmethod
    def _app(cls, value: str | None) -> str | None:
        try:
            return None if value is None else convert(value, Url)
        except MsgspecError:
            raise ValueError("an absolute URL is expected") from None

    @model_validator(mode="after")
    def _safe(self) -> Settings:
        if self.mode == "development" and not is_loopback(self.host):
            raise ValueError("development mode listens on loopback only: set host to 127.0.0.1")
        if not self.development and not self.issuers:
            raise ValueError("no issuers: nobody could call; name the EHRs that may, or listen on 127.0.0.1")
        if not self.development and self.public_url is None:
            raise ValueError("public_url is needed: the aud of a JWT is compared with it")
        if len({issuer.iss for issuer in self.issuers}) < len(self.issuers):
            raise ValueError("two issuers have the same iss")
        if self.client_certificate_header is None and any(issuer.client_certificate for issuer in self.issuers):
            raise ValueError("client_certificate_header is needed: an issuer has a client_certificate")
        return self

    @property
    def development(self) -> bool:
        """Whether the service runs for this machine only: without authentication, unless issuers are set."""
        if self.mode == "auto":
            return is_loopback(self.host) and not self.issuers
        return self.mode == "development"

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Keep what was given explicitly before the environment; the file is merged below both by `load`."""
        return (init_settings, env_settings)


class _FromFile(Settings):
    """Settings whose explicit values come from a file and so rank below the environment."""

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Put the environment before the file."""
        return (env_settings, init_settings)


def load(file: Path | None = None, **flags: Any) -> Settings:
    """Return the settings from flags (None = not given), environment and file, in this order of precedence.

    Raises InputError naming the setting that is wrong; values are not repeated (they may be secret).
    """
    _refuse_slips(os.environ)
    given = {name: value for name, value in flags.items() if value is not None}
    try:
        base = _FromFile(**_read(file)).model_dump(exclude_unset=True)
        return Settings(**{**base, **given})
    except SettingsError as error:  # says: error parsing value for field "issuers" from source …
        field = (_QUOTED.search(str(error)) or ["", "settings"])[1]
        raise InputError("JSON is expected", where=f"{PREFIX}{field.upper()}") from None
    except ValidationError as error:
        faults = error.errors(include_url=False, include_input=False, include_context=False)
        raise InputError("; ".join(map(_told, faults)), where=str(file) if file else "settings") from None


def _told(fault: ErrorDetails) -> str:
    """Return one fault of the settings as a sentence, with the setting that it is about."""
    place = ".".join(str(part) for part in fault["loc"])
    text = "there is no such setting" if fault["type"] == "extra_forbidden" else fault["msg"].removeprefix(_OWN_FAULT)
    return f"{place}: {text}" if place else text


def _refuse_slips(environment: Mapping[str, str]) -> None:
    """Raise InputError for a variable that reads like a setting and is none: nobody would notice that it has no effect.

    Variables of other uses (`FHIR_CDS_TOKEN` …) resemble no setting.
    """
    for variable in environment:
        name = variable.removeprefix(PREFIX).partition("__")[0].lower()
        if variable.startswith(PREFIX) and name not in Settings.model_fields:
            for meant in get_close_matches(name, Settings.model_fields, n=1, cutoff=0.75):
                told = f"there is no such setting; {PREFIX}{meant.upper()} is one"
                raise InputError(told, where=variable)


def _read(file: Path | None) -> dict[str, Any]:
    """Return the TOML document of a settings file, {} for none."""
    if file is None:
        return {}
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}", where=str(file)) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"not TOML: {error}", where=str(file)) from None


def is_loopback(host: str) -> bool:
    """Say whether a host name or address is this machine's own."""
    if host in _OWN_NAMES:
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
