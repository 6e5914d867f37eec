"""What is past its time leaves the store: when the service starts, and once a day while it runs."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import datetime, timedelta
from typing import Final

from fhir_cds.server.state import State
from fhir_cds.server.tables import StoreError

DAY_SECONDS: Final = 86_400.0

log: Final = logging.getLogger("fhir_cds.server")


@asynccontextmanager
async def retained(service: State, every: float = DAY_SECONDS) -> AsyncIterator[None]:
    """Delete at once, and every so many seconds until the context is left; a store that refuses is asked again."""
    task = asyncio.create_task(_keep(service, every))
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def _keep(service: State, every: float) -> None:
    while True:
        before = datetime.fromisoformat(service.now()) - timedelta(days=service.settings.feedback_retention_days)
        try:
            gone = await asyncio.to_thread(service.store.purge, before)
        except StoreError as error:
            log.warning("what is past its time was not deleted", extra={"error": error.message})
        else:
            log.info("what is past its time was deleted", extra={"items": gone})
        await asyncio.sleep(every)
