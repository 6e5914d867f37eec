"""Answers on their way to the store: written in batches by one thread, so that no caller waits for the disk.

What is in the queue when the process is killed is lost (less than a second of answers); feedback does not go this way.
"""

from __future__ import annotations

import logging
import queue
import threading
from typing import Final

from fhir_cds.server.store import Answer, Store, StoreError

CAPACITY: Final = 10_000
_BATCH: Final = 200

log: Final = logging.getLogger("fhir_cds.server.audit")


class Audit:
    """The queue before a store; `close` writes what is left."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._queue: queue.Queue[Answer | None] = queue.Queue(CAPACITY)
        self._thread = threading.Thread(target=self._run, name="fhir-cds-audit", daemon=True)
        self._thread.start()

    def __call__(self, answer: Answer) -> None:
        """Queue one answer; when the store cannot keep up it is logged as lost rather than holding up care."""
        try:
            self._queue.put_nowait(answer)
        except queue.Full:
            log.exception("an answer was not kept: the queue is full", extra={"service": answer.service})

    def close(self) -> None:
        """Write everything queued and stop."""
        self._queue.put(None)
        self._thread.join(timeout=30)

    def _run(self) -> None:
        """Write batches until told to stop."""
        open_for_more = True
        while open_for_more:
            batch = [self._queue.get()]
            while len(batch) < _BATCH and not self._queue.empty():
                batch.append(self._queue.get_nowait())
            open_for_more = None not in batch
            answers = [answer for answer in batch if answer is not None]
            try:
                self._store.keep(answers)
            except StoreError as error:
                log.exception("answers were not kept", extra={"items": len(answers), "error": error.message})
