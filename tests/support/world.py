"""Explores how the acts of a small world interleave, and judges every commit."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from dataclasses import dataclass

from atelier.jobs.model import Limits
from atelier.kit.database import Tx
from support.acts import BASE, COST, LIMITS, Acts
from support.interleaving import Deadlock, Lane, Tape
from support.model import (
    Seen,
    check_charges,
    check_commit,
    check_end,
    check_limits,
    check_moment,
    check_step,
    look,
)

Act = Callable[[Lane, Tape], Awaitable[None]]

KILL_ONE_IN = 40


@dataclass(frozen=True, slots=True)
class Order:
    """`lead` goes first for `first` steps, then the other for `second`, then `lead` to its end, then the other."""

    lead: int
    first: int
    second: int

    def choose(self, done: int) -> int:
        """Which lane's turn it is after `done` steps."""
        return self.lead if done < self.first or done >= self.first + self.second else 1 - self.lead


class World:
    """`run` and `duel` raise AssertionError as soon as a promise is broken."""

    def __init__(self, acts: Acts, lanes: tuple[Lane, Lane]) -> None:
        self.acts = acts
        self.lanes = lanes
        self.kills = self.waits = self.refusals = 0
        self._seen = Seen.nothing()
        self._acts: tuple[tuple[str, Act], ...] = (
            *((name, act) for name, act in self.named().items() if name != "take over"),
            ("feed", acts.feed),
            ("beat", acts.beat),
            ("running", acts.running),
        )

    def named(self) -> Mapping[str, Act]:
        """Every act by its name."""
        acts = self.acts
        return {
            "submit": acts.submit,
            "feed": acts.feed,
            "beat": acts.beat,
            "take over": acts.take_over,
            "give back": acts.give_back,
            "running": acts.running,
            "succeed": acts.succeed,
            "fail": acts.fail,
            "lose": acts.lose,
            "withdraw": acts.withdraw,
            "let go": acts.let_go,
            "cancel": acts.cancel,
            "drop": acts.drop,
            "interrupt": acts.interrupt,
            "expire": acts.expire,
        }

    async def run(self, tape: Tape) -> None:
        """Play the tape: which acts begin, on what, who goes on, who is killed."""
        async with self._scene(LIMITS[tape.choose(len(LIMITS))]) as group:
            while tape or not all(lane.idle for lane in self.lanes):
                able = [lane for lane in self._able() if tape or not lane.idle]
                lane = able[tape.choose(len(able))]
                if lane.idle:
                    await self._start_any(group, lane, tape)
                else:
                    await self._go_on(lane, killed=bool(tape) and tape.choose(KILL_ONE_IN) == KILL_ONE_IN - 1)

    async def duel(
        self, acts: tuple[tuple[str, bytes], tuple[str, bytes]], order: Order, limits: Limits
    ) -> tuple[int, int]:
        """Two acts in one order. Gives how many steps each took; their tapes say what they act on."""
        taken = [0, 0]
        async with self._scene(limits) as group:
            for lane, (name, tape) in zip(self.lanes, acts, strict=True):
                await self._start(group, lane, name, self.named()[name], Tape(tape))
            while not all(lane.idle for lane in self.lanes):
                able = [lane for lane in self._able() if not lane.idle]
                wanted = self.lanes[order.choose(sum(taken))]
                lane = wanted if wanted in able else able[0]
                taken[self.lanes.index(lane)] += 1
                await self._go_on(lane, killed=False)
        return taken[0], taken[1]

    @contextlib.asynccontextmanager
    async def _scene(self, limits: Limits) -> AsyncGenerator[asyncio.TaskGroup]:
        await self.acts.begin(limits)
        self._seen = await look(self.acts.observer)
        try:
            async with asyncio.TaskGroup() as group:
                yield group
        except* AssertionError as broken:
            raise broken.exceptions[0] from None
        await self.acts.finish()
        check_moment(seen := await look(self.acts.observer))
        check_end(seen)

    def _able(self) -> list[Lane]:
        able = [lane for lane in self.lanes if not lane.blocked]
        if not able:
            raise Deadlock([lane.said[-1] for lane in self.lanes])
        return able

    async def _start_any(self, group: asyncio.TaskGroup, lane: Lane, tape: Tape) -> None:
        """Begin something, or let time pass."""
        chosen = tape.choose(len(self._acts) + 3)
        if chosen < len(self._acts):
            await self._start(group, lane, *self._acts[chosen], tape)
        elif chosen == len(self._acts):
            await self.acts.ripen()
            await self._judge(lane, committed=False)
        else:
            await self.acts.lapse(self.acts.processes[tape.choose(2)])
            await self._judge(lane, committed=False)

    async def _start(self, group: asyncio.TaskGroup, lane: Lane, name: str, act: Act, tape: Tape) -> None:
        self.acts.verdicts.pop(lane, None)
        lane.begin(group, name, act(lane, tape))
        await lane.settle()

    async def _go_on(self, lane: Lane, *, killed: bool) -> None:
        committed = lane.committing and not killed
        await (lane.kill() if killed else lane.go_on())
        for other in self.lanes:
            await other.settle()
        self.kills += killed
        self.waits += lane.blocked
        await self._judge(lane, committed=committed)

    async def _judge(self, lane: Lane, *, committed: bool) -> None:
        before, self._seen = self._seen, await look(self.acts.observer)
        check_moment(self._seen)
        check_charges(self._seen, BASE, COST)
        check_limits(self._seen, self.acts.limits)
        check_step(before, self._seen)
        if committed and lane in self.acts.verdicts:
            claim, done = self.acts.verdicts.pop(lane)
            check_commit(claim, done, before, self._seen)
            self.refusals += not done
        await self.judge_more(self.acts.observer)

    async def judge_more(self, observer: Tx) -> None:
        """What else must be true at this moment."""


@contextlib.asynccontextmanager
async def world_on(url: str, broken: Mapping[str, str] | None = None) -> AsyncGenerator[World]:
    """A world on this database, which it empties first. `broken`: see Lane."""
    async with lanes_on(url, broken) as (observer, lanes):
        yield World(Acts(observer, await requirement_in(observer)), lanes)


@contextlib.asynccontextmanager
async def lanes_on(url: str, broken: Mapping[str, str] | None) -> AsyncGenerator[tuple[Tx, tuple[Lane, Lane]]]:
    """A connection that looks, and two that act."""
    async with contextlib.AsyncExitStack() as stack:
        observer, one, two = [
            await stack.enter_async_context(await Tx.connect(url, autocommit=True)) for _ in range(3)
        ]
        yield observer, (Lane(one, observer, broken or {}), Lane(two, observer, broken or {}))


async def requirement_in(observer: Tx) -> int:
    """The requirement set that everything satisfies."""
    row = await (await observer.execute("SELECT id FROM requirements LIMIT 1")).fetchone()
    assert row is not None
    return int(row[0])
