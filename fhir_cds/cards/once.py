"""Each order once a call: what several cards could offer is offered on one of them, and the others say where.

An order has its place where it can be had for itself rather than as an alternative or as part of a unit, there where it
is most urgent, there on the first card. Elsewhere it is left out, unless it cannot be had for itself at its place, is
part of a unit, or something that stays refers to it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec import Struct
from msgspec.structs import replace

from fhir_cds.cards.authored import INDICATORS, URGENCY, SelectionBehavior
from fhir_cds.cards.choices import Choice, Offer
from fhir_cds.fhir import codec
from fhir_cds.reasoning.outcome import Json


class Share(Struct, frozen=True):
    """What one card offers, how many of it may be accepted, and the orders that another one offers (its number).

    `orders` are those as they stand on the other card, as `Type/id`.
    """

    choices: tuple[Choice, ...]
    selection: SelectionBehavior
    elsewhere: tuple[tuple[str, int], ...] = ()
    orders: tuple[str, ...] = ()


class _Place(Struct, frozen=True):
    """Where an order can be had: in which choice of which card, as which resource; the least `rank` is best.

    `tied` says that it cannot be had for itself there. The rank is: tied, how urgent (0 is most), card.
    """

    tied: bool
    card: int
    choice: Choice
    resource: Json
    rank: tuple[bool, int, int]


_Named = tuple[Choice, tuple[bytes, ...]]
"""A choice with what each of its resources orders."""


def share(offers: Sequence[Offer]) -> list[Share]:
    """Return what each card offers, of what each could."""
    named = [[(choice, tuple(map(_ordered, choice.created))) for choice in offer.choices] for offer in offers]
    places: dict[bytes, _Place] = {}
    for number, choices in enumerate(named):
        for choice, orders in choices:
            tied = choice.alternative or choice.unit
            for order, resource in zip(orders, choice.created, strict=True):
                known = places.get(order)
                rank = (tied, _urgency(resource), number)
                if known is None or rank < known.rank:
                    places[order] = _Place(tied, number, choice, resource, rank)
    if len(places) == sum([len(choice.created) for offer in offers for choice in offer.choices]):
        return [Share(offer.choices, offer.selection) for offer in offers]
    return [
        _share(number, choices, offer.selection, places)
        for number, (choices, offer) in enumerate(zip(named, offers, strict=True))
    ]


def _ordered(resource: Json) -> bytes:
    """Return what a resource orders: all of it but its id and how urgent it is."""
    return codec.canonical({**resource, "id": None, "priority": None})


def _urgency(resource: Json) -> int:
    """Return how urgent a request is, 0 is most."""
    return URGENCY[INDICATORS.get(str(resource.get("priority")), "info")]


def _share(
    number: int, choices: Sequence[_Named], selection: SelectionBehavior, places: Mapping[bytes, _Place]
) -> Share:
    """Return what the card of a number offers of its choices."""
    kept: list[Choice] = []
    elsewhere: list[tuple[str, int]] = []
    others: list[str] = []
    for choice, orders in choices:
        found = [places[order] for order in orders]
        for place, resource in zip(found, choice.created, strict=True):
            if place.card != number:
                elsewhere.append((choice.named([resource]), place.card))
                others.append(_reference(place.resource))
        stays = _stays(choice, orders, found, number)
        if all(stays):
            kept.append(choice)
        elif any(stays):
            left = tuple(resource for resource, stay in zip(choice.created, stays, strict=True) if stay)
            kept.append(replace(choice, created=left))
    return Share(tuple(kept), selection, tuple(elsewhere), tuple(others))


def _stays(choice: Choice, orders: Sequence[bytes], places: Sequence[_Place], number: int) -> list[bool]:
    """Say which resources of a choice have their place in it, or have to stay on the card of a number."""
    if choice.unit:
        first = places[0].choice
        same = all(place.choice is first for place in places)
        return [first is choice or first.alternative or not same] * len(orders)
    stays = [place.choice is choice or (place.tied and place.card != number) for place in places]
    while any(stays) and not all(stays):
        kept = b"".join([order for order, stay in zip(orders, stays, strict=True) if stay])
        needed = [stay or _name(resource) in kept for resource, stay in zip(choice.created, stays, strict=True)]
        if needed == stays:
            break
        stays = needed
    return stays


def _name(resource: Json) -> bytes:
    """Return a resource's `Type/id` as it stands in a reference, in JSON."""
    return f'"{_reference(resource)}"'.encode()


def _reference(resource: Json) -> str:
    """Return a resource's `Type/id`."""
    return f"{resource['resourceType']}/{resource.get('id', '')}"
