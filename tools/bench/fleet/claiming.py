"""How long a claim takes, from the question what waits to the attempt that is ours, however long the queue is."""

import contextlib
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from atelier.entry.state import database_url
from atelier.fleet.model import Party
from atelier.jobs import rules
from atelier.jobs.model import Claim, Head, Wish
from atelier.jobs.store import claims, waiting
from atelier.kit.database import Tx
from tools.bench import ground
from tools.bench.fleet.plan import Depth
from tools.bench.fleet.queues import FENCE, SERVER, Queue, filled, make_database

WARM_UP = 10
COST = 1.0
"""Seconds that each job is charged with."""

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Taken:
    """Milliseconds of the reading and of the claim, and of both, one by one."""

    depth: Depth
    reading: list[float] = field(default_factory=list[float])
    claim: list[float] = field(default_factory=list[float])

    @property
    def both(self) -> list[float]:
        return [first + second for first, second in zip(self.reading, self.claim, strict=True)]


async def claiming(depths: Sequence[Depth], rounds: int, count: int, folder: Path, say: Say) -> list[Taken]:
    """`count` claims from each queue in each round, the queues in turns, so that all meet the same machine."""
    async with _queues(depths, folder, say) as queues:
        taken = [Taken(depth) for depth in depths]
        for queue in queues:
            await _claims(queue, Taken(queue.depth), WARM_UP)
        for number in range(rounds):
            say(f"claims, round {number + 1} of {rounds}")
            for queue, result in zip(queues, taken, strict=True):
                await _claims(queue, result, count)
    return taken


@contextlib.asynccontextmanager
async def _queues(depths: Sequence[Depth], folder: Path, say: Say) -> AsyncGenerator[list[Queue]]:
    """Each in a database of its own on one server."""
    settings = ground.settings_of(folder / "state")
    async with contextlib.AsyncExitStack() as stack:
        url = await stack.enter_async_context(database_url(settings, lambda _: None))
        queues: list[Queue] = []
        for number, depth in enumerate(depths):
            say(f"filling a queue: {depth.name}")
            queue = await filled(await make_database(url, f"queue_{number}"), depth)
            stack.push_async_callback(queue.database.close)
            queues.append(queue)
        yield queues


async def _claims(queue: Queue, result: Taken, count: int) -> None:
    async with queue.database.autocommit() as connection:
        for _ in range(count):
            began = time.perf_counter()
            head = await _first(connection)
            read = time.perf_counter()
            [claim] = await claims.claim(connection, queue.dispatcher, [_wish(head)])
            result.reading.append((read - began) * 1000)
            result.claim.append((time.perf_counter() - read) * 1000)
            await _end(connection, claim)


async def _first(tx: Tx) -> Head:
    """The oldest job of whose turn it is, for one free server that has the models of one lane loaded."""
    reading = await waiting.read(tx, waiting.Asked(slots=1, lanes=("lane-0",)))
    given = {standing.party: standing.virtual_time or 0.0 for standing in reading.standings}
    return min(
        reading.heads,
        key=lambda head: (given[Party(head.priority, head.account_id, head.end_user)], head.position),
    )


def _wish(head: Head) -> Wish:
    number = head.attempt + 1
    prompt_id = rules.prompt_id(head.job_id, number)
    return Wish(head.job_id, number, prompt_id, SERVER, FENCE, cost=COST)


async def _end(tx: Tx, claim: Claim) -> None:
    """As at the end of a run: not measured, but the next claim meets what it leaves behind in the tables."""
    await tx.execute(
        "UPDATE attempts SET state = 'ended', outcome = 'succeeded', ended_at = now() WHERE prompt_id = %s",
        (claim.prompt_id,),
    )
    await tx.execute("UPDATE jobs SET state = 'succeeded', finished_at = now() WHERE id = %s", (claim.job_id,))
