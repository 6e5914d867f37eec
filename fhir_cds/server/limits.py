"""How much one caller may ask: a token bucket per issuer (or address), refilled evenly over a minute."""

from __future__ import annotations

import math
from collections import OrderedDict
from typing import Final

from fhir_cds.server.errors import HttpError

BUCKETS: Final = 10_000
_MINUTE: Final = 60.0


class RateLimit:
    """Token buckets by name; those not used for longest are forgotten first."""

    def __init__(self, default_per_minute: int, per_minute: dict[str, int] | None = None) -> None:
        self._default = default_per_minute
        self._rates = per_minute or {}
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, name: str, now: float) -> None:
        """Take one call from a caller's bucket; raises HttpError 429 with Retry-After when it is empty.

        `now` is in seconds on any clock that does not go back.
        """
        rate = self._rates.get(name, self._default)
        level, then = self._buckets.pop(name, (float(rate), now))
        level = min(float(rate), level + (now - then) * rate / _MINUTE)
        allowed = level >= 1.0
        self._buckets[name] = (level - 1.0 if allowed else level, now)
        while len(self._buckets) > BUCKETS:
            self._buckets.popitem(last=False)
        if not allowed:
            wait = math.ceil((1.0 - level) * _MINUTE / rate)
            raise HttpError(429, "too many calls; try again later", headers={"Retry-After": str(wait)})
