"""What one call costs at least: its parts one by one, beside a whole call of a Fastify service with a fixed card.

    python -m benchmarks.hooks.parts --fastify NODE_MODULES_PARENT [--size BYTES] [--rounds N] [--seconds N]

Two processes answer over HTTP with a fixed card: Fastify, and the server that carries ours without anything of ours.
The parts of a call that our service cannot do without are timed in this process, round by round in between: reading
the JSON, taking the record from it, the verdict of each recommendation of all sources, and for comparison what makes
an answer of them. Each figure is CPU time per call, of the rounds the least; the last column is in calls of Fastify.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import os
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Final, TypeVar, cast

from benchmarks.hooks.calls import SERVICE, calls
from benchmarks.hooks.run import ONE, Load, load, peer
from fhir_cds.cards.messages import Request, parse_request
from fhir_cds.data.gather import gather
from fhir_cds.data.record import PatientRecord
from fhir_cds.fhir import codec
from fhir_cds.knowledge.load import content_roots
from fhir_cds.server import state
from fhir_cds.server.advice import Question, advise
from fhir_cds.server.state import Loaded

CALLS: Final = 64
"""Different calls in each round."""
FASTIFY: Final = "Fastify, a whole call with a fixed card"
BARE: Final = "our server without our service, a whole call with a fixed card"
DECODED: Final = "JSON decoded"
TAKEN: Final = "record taken from it"
DECIDED: Final = "record indexed, verdict of each recommendation"
NEEDED: Final = (DECODED, TAKEN, DECIDED)
ANSWER: Final = "the same verdicts in plans applied, made into cards and the answer's JSON"
_Made = TypeVar("_Made")


def main() -> int:
    """Measure and print."""
    options = arguments()
    here = Path(__file__).parent
    content = state.load(content_roots((), os.environ), state.utc_now)
    state.settle()
    least: dict[str, float] = {}
    with ExitStack() as stack:
        node = ["node", str(here / "peer_fastify.mjs"), str(options.fastify.resolve())]
        running = {FASTIFY: stack.enter_context(peer(node))}
        running[BARE] = stack.enter_context(peer([sys.executable, str(here / "peer_bare.py")]))
        for _ in range(options.rounds):
            for name, (process, url) in running.items():
                measured = asyncio.run(load(url, Load(ONE, options.size, 1), options.seconds, process.pid))
                least[name] = min(measured.cost, least.get(name, measured.cost))
            for name, cost in parts(content, options.size).items():
                least[name] = min(cost, least.get(name, cost))
    show(least)
    return 0


def arguments() -> argparse.Namespace:
    """Return the options of the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fastify", type=Path, required=True, help="folder in whose node_modules Fastify is")
    parser.add_argument("--size", type=int, default=40_000, help="bytes of a call")
    parser.add_argument("--rounds", type=int, default=10, help="rounds; of each figure the least is shown")
    parser.add_argument("--seconds", type=float, default=1.0, help="length of the calls over HTTP in a round")
    return parser.parse_args()


def parts(content: Loaded, size: int) -> dict[str, float]:
    """Return the CPU milliseconds that each part takes of a call."""
    offer = next(one for one in content.offered(SERVICE) if one.service.hook == "patient-view")
    usual = content.usual[SERVICE, offer.service.hook]
    slots = [
        laid.define.slot
        for recommendation in content.engine.recommendations
        for laid in content.engine.layout(recommendation.plan).actions
        if laid.define is not None
    ]
    now = datetime.now(UTC).isoformat(timespec="milliseconds")

    def taken(request: Request) -> PatientRecord:
        work = gather(offer.service.prefetch, request.context, request.prefetch, usual=usual)
        try:
            work.send(None)
        except StopIteration as done:  # all is in the prefetch: nothing is waited for
            return cast(PatientRecord, done.value)
        raise RuntimeError("the call does not bring all that is asked for")

    def verdicts(record: PatientRecord) -> None:
        evaluation = content.engine.evaluate(record.resources, now, {})
        for slot in slots:
            evaluation.at(slot)

    def answered(request: Request, record: PatientRecord) -> bytes:
        question = Question(offer, record, now, request.context, str(request.hook_instance))
        return codec.encode(advise(content, question).response)

    spent = dict.fromkeys((*NEEDED, ANSWER), 0.0)

    def timed(name: str, part: Callable[[], _Made]) -> _Made:
        begun = time.process_time()
        made = part()
        spent[name] += (time.process_time() - begun) / CALLS * 1000
        return made

    for body in itertools.islice(calls(ONE, size, datetime.now(UTC).date()), CALLS):
        request = parse_request(timed(DECODED, partial(codec.decode, body)))
        record = timed(TAKEN, partial(taken, request))
        timed(DECIDED, partial(verdicts, record))
        timed(ANSWER, partial(answered, request, record))
    return spent


def show(least: dict[str, float]) -> None:
    """Print the figures, and what those add up to that no call can do without."""
    unit = least[FASTIFY]
    least["the server, the JSON, the record, the verdicts: without any card"] = sum(least[n] for n in (BARE, *NEEDED))
    for name, cost in least.items():
        print(f"{cost:7.3f} ms  {cost / unit:5.2f}  {name}")


if __name__ == "__main__":
    sys.exit(main())
