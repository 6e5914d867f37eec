"""Answers on their way to the store: written in batches by one thread, so that no caller waits for the disk.

A batch is what comes within `LINGER` seconds, so that one synced commit serves many answers. While the store is away it
is tried every `PAUSE` seconds. What is in the queue when the process is killed is lost (less than a second of answers,
unless the store was away); feedback does not go this way.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from typing import Final

from fhir_cds.server.store import Answer, Store
from fhir_cds.server.tables import StoreError

CAPACITY: Final = 10_000
LINGER: Final = 0.5
PAUSE: Final = 5.0
_BATCH: Final = 500

log: Final = logging.getLogger("fhir_cds.server.audit")


class Audit:
    """The queue before a store; `close` writes what is left."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._queue: deque[Answer] = deque()  # what adds to it and takes from it needs no lock
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="fhir-cds-audit", daemon=True)
        self._thread.start()

    def __call__(self, answer: Answer) -> None:
        """Queue one answer; when the store cannot keep up it is logged as lost rather than holding up care."""
        if len(self._queue) < CAPACITY:
            self._queue.append(answer)
        else:
            log.error("an answer was not kept: the queue is full", extra={"service": answer.service})

    def close(self) -> None:
        """Write everything queued and stop."""
        self._closing.set()
        self._thread.join(timeout=30)

    def _run(self) -> None:
        """Write what is queued every now and then, until told to stop and nothing is left."""
        pause = LINGER
        while not self._closing.wait(pause) or self._queue:
            pause = LINGER
            while self._queue:
                batch = [self._queue.popleft() for _ in range(min(_BATCH, len(self._queue)))]
                if not self._written(batch):
                    self._queue.extendleft(reversed(batch))
                    pause = PAUSE
                    break

    def _written(self, answers: list[Answer]) -> bool:
        """Write one batch; say whether it is done with: a store that is away for a while is tried again.

        What the store never takes, or not before the service ends, is logged as lost.
        """
        try:
            self._store.keep(answers)
        except StoreError as error:
            told = {"items": len(answers), "error": error.message}
            if error.passing and not self._closing.is_set():
                log.warning("the store is away: answers wait and are tried again", extra=told)
                return False
            log.exception("answers were not kept", extra=told)
        return True
