"""The messages of CDS Hooks that we send: closed, frozen, and valid by construction.

A message is made with `of`, which checks what the standard asks for; a part that is a message already was checked when
it was made. Field names are the standard's; there is no null, no empty text, list or object (CDS Hooks 2.0 and 3.0
ballot, "JSON"). `codec.encode` writes a message, decimals of FHIR resources with all their digits.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal, Self

import msgspec
from msgspec import Meta, Struct

SUMMARY_LIMIT: Final = 139
"""Longest `summary` (CDS Hooks: fewer than 140 characters)."""

Indicator = Literal["info", "warning", "critical"]
Text = Annotated[str, Meta(pattern=r"\S")]
Url = Annotated[str, Meta(pattern=r"^(https?://[^\s/?#]\S*|(?!https?:)[A-Za-z][A-Za-z0-9+.-]*:\S+)$")]
"""An absolute URL."""

Full = Annotated[dict[str, Any], Meta(min_length=1)]


class Outgoing(Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True, rename="camel"):
    """A message we send, or a part of one."""

    extension: Full | None = None

    @classmethod
    def of(cls, **members: object) -> Self:
        """Return the message with the members (the standard's names); raises msgspec.ValidationError, which says where.

        A member that is None is left out.
        """
        return msgspec.convert(members, cls)


class Coding(Outgoing, frozen=True, kw_only=True):
    """A code with its system, as used for topics."""

    system: Url
    code: Text
    display: Text | None = None


class OverrideReason(Outgoing, frozen=True, kw_only=True):
    """A reason a clinician may give for not following a card: a code whose display is mandatory."""

    system: Url
    code: Text
    display: Text


class Source(Outgoing, frozen=True, kw_only=True):
    """Where the advice of a card comes from: the organisation or the guideline, and the card's topic."""

    label: Text
    url: Url | None = None
    icon: Url | None = None
    topic: Coding | None = None


class Action(Outgoing, frozen=True, kw_only=True):
    """One change of a suggestion: a whole resource to create or update, or the id of one to delete."""

    type: Literal["create", "update", "delete"]
    description: Text
    resource: Full | None = None
    resource_id: Annotated[str, Meta(pattern=r"^[A-Z][A-Za-z]+/[A-Za-z0-9\-._]{1,64}$")] | None = None

    def __post_init__(self) -> None:
        if self.type == "delete":
            if self.resource is not None or self.resource_id is None:
                raise ValueError("a delete action names resourceId and carries no resource")
        elif self.resource is None or not self.resource.get("resourceType") or self.resource_id is not None:
            raise ValueError(f"a {self.type} action carries a whole FHIR resource")


class Suggestion(Outgoing, frozen=True, kw_only=True):
    """Changes that belong together and are accepted as one, unless `action_selection_behavior` (3.0 ballot) is set."""

    label: Text
    uuid: Text
    is_recommended: bool | None = None
    action_selection_behavior: Literal["all", "any", "at-most-one"] | None = None
    actions: Annotated[tuple[Action, ...], Meta(min_length=1)] | None = None


class Link(Outgoing, frozen=True, kw_only=True):
    """A link out of a card; `app_context` goes with SMART links only."""

    label: Text
    url: Url
    type: Literal["absolute", "smart"]
    app_context: Text | None = None
    autolaunchable: bool | None = None

    def __post_init__(self) -> None:
        if self.app_context is not None and self.type != "smart":
            raise ValueError("appContext goes with smart links only")


class Card(Outgoing, frozen=True, kw_only=True):
    """One card."""

    uuid: Text
    summary: Annotated[str, Meta(max_length=SUMMARY_LIMIT, pattern=r"\S")]
    detail: Text | None = None
    indicator: Indicator
    source: Source
    suggestions: Annotated[tuple[Suggestion, ...], Meta(min_length=1)] | None = None
    selection_behavior: Literal["at-most-one", "any"] | None = None
    override_reasons: Annotated[tuple[OverrideReason, ...], Meta(min_length=1)] | None = None
    links: Annotated[tuple[Link, ...], Meta(min_length=1)] | None = None

    def __post_init__(self) -> None:
        if self.suggestions is None:
            return
        if self.selection_behavior is None:
            raise ValueError("a card with suggestions needs selectionBehavior")
        if self.selection_behavior == "at-most-one" and sum(1 for one in self.suggestions if one.is_recommended) > 1:
            raise ValueError("at most one suggestion may be recommended where at most one can be chosen")


class Response(Outgoing, frozen=True, kw_only=True):
    """The answer of a service; `cards` may be empty, `system_actions` is left out unless agreed with the client."""

    cards: tuple[Card, ...]
    system_actions: Annotated[tuple[Action, ...], Meta(min_length=1)] | None = None


class ServiceEntry(Outgoing, frozen=True, kw_only=True):
    """One entry of discovery."""

    hook: Text
    id: Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._~-]*$")]
    description: Text
    title: Text
    prefetch: dict[str, Text] | None = None
    usage_requirements: Text | None = None
    version: Text | None = None
    hook_version: Text | None = None


class Discovery(Outgoing, frozen=True, kw_only=True):
    """The discovery document; `services` may be empty."""

    services: tuple[ServiceEntry, ...]
