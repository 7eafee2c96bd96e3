"""All kinds of deeds, as cards of a deck: which comes when follows from the seed."""

import asyncio
import contextlib
import random
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass

from atelier.kit import clock
from tools.chaos import deeds
from tools.chaos.acting import Act, Deed, Do, NothingToDo, Stage
from tools.chaos.deeds import once, until_restart, while_on


@dataclass(frozen=True, slots=True)
class Kind:
    """`cards`: how often it is in the deck that is shuffled anew when all have been drawn."""

    words: str
    cards: int
    do: Do
    faults: tuple[str, ...] = ()


KINDS: Mapping[str, Kind] = {
    "kill_dispatcher": Kind("kill -9 of a dispatcher", 4, deeds.kill_dispatcher),
    "stop_dispatcher": Kind("SIGTERM to a dispatcher", 1, deeds.stop_dispatcher),
    "freeze_dispatcher": Kind("SIGSTOP of a dispatcher past its lease, then SIGCONT", 2, deeds.freeze_dispatcher),
    "late_request": Kind("a submit held up past its dispatcher's lease", 2, deeds.late_request),
    "kill_api": Kind("kill -9 of an API process", 4, deeds.kill_api),
    "kill_tasks": Kind("kill -9 of the background tasks", 1, deeds.kill_tasks),
    "kill_postgres": Kind("kill -9 of PostgreSQL", 2, deeds.kill_postgres),
    "cut_database": Kind("all connections to PostgreSQL reset", 2, deeds.cut_database),
    "delay_database": Kind("PostgreSQL answers late", 1, deeds.delay_database),
    "kill_server": Kind("kill -9 of a server", 4, deeds.kill_server, ("die",)),
    "hang_server": Kind("a server accepts and never answers", 2, deeds.hang_server),
    "cut_connections": Kind("all connections to a server reset", 3, deeds.cut_connections),
    "cut_requests": Kind("requests to a server, or their answers, lost", 4, deeds.cut_requests),
    "delay_connections": Kind("a server answers late", 2, deeds.delay_connections),
    "wedge": Kind("what a server runs never ends", 2, until_restart("wedge"), ("wedge",)),
    "stall": Kind("a server begins nothing any more", 1, until_restart("stall"), ("stall",)),
    "stuck": Kind("a server hears no interrupt", 1, while_on("stuck", 3.0, 8.0), ("stuck",)),
    "cuda_fault": Kind(
        "a server's CUDA is broken until it restarts", 1, until_restart("cuda_fault"), ("cuda_fault",)
    ),
    "out_of_memory": Kind("a server runs out of memory", 2, once("out_of_memory", 2), ("out_of_memory",)),
    "disk_full": Kind("a server's disk is full", 2, while_on("disk_full", 2.0, 6.0), ("disk_full",)),
    "slow": Kind("a server is slow", 1, while_on("slow", 3.0, 6.0, factor=3.0), ("slow",)),
    "drop_socket": Kind("a server's WebSocket is cut", 2, once("drop_socket"), ("drop_socket",)),
    "no_socket": Kind("a server's WebSocket is gone for a while", 1, deeds.no_socket, ("no_socket",)),
    "lose_models": Kind(
        "a server's models are gone for a while", 1, while_on("lose_models", 3.0, 8.0), ("lose_models",)
    ),
    "lose_history": Kind("a server forgets what it ran", 2, once("lose_history"), ("lose_history",)),
    "error_after_enqueue": Kind(
        "a server queues and answers 500", 2, once("error_after_enqueue", 2), ("error_after_enqueue",)
    ),
    "view_missing": Kind("a server lists a file that is gone", 2, once("view_missing", 2), ("view_missing",)),
}


def drawn(seed: int, only: Sequence[str] = ()) -> Generator[str]:
    """Kinds of deeds without end, as from a deck: each comes up before any comes up too often."""
    chance = random.Random(seed)  # noqa: S311 - the same deeds in every run of this seed
    kinds = {name: kind for name, kind in KINDS.items() if not only or name in only}
    while True:
        deck = [name for name, kind in kinds.items() for _ in range(kind.cards)]
        chance.shuffle(deck)
        yield from deck


async def rage(stage: Stage) -> None:
    """One deed after the other, several at a time, until all shall be calm; returns when all have been undone."""
    plan = stage.site.plan
    chance = random.Random(plan.seed + 1)  # noqa: S311 - the same moments in every run of this seed
    async with asyncio.TaskGroup() as group:
        for number, kind in enumerate(drawn(plan.seed, plan.only)):
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(chance.uniform(0.3, 1.7) * plan.gap):
                    await stage.calm.wait()
            if stage.calm.is_set():
                return
            deed = Deed(number, kind, clock.utcnow())
            stage.done.append(deed)
            group.create_task(_do(Act(stage, random.Random(f"{plan.seed}/{number}"), deed)))  # noqa: S311 - as above


async def _do(act: Act) -> None:
    try:
        await KINDS[act.deed.kind].do(act)
    except NothingToDo:
        act.deed.target = None
    act.deed.ended = clock.utcnow()
