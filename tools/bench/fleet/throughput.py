"""How much of a saturated fleet is used: asked directly and through Atelier, in one run, on the same servers."""

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tools.bench.fleet import stage as stages
from tools.bench.fleet.plan import Saturation
from tools.bench.fleet.runs import Saturated, runs, saturated
from tools.bench.fleet.stage import Stage, directly, now, staged
from tools.bench.ground import fleet_known

WARM_UP = 2
"""Jobs for each server that are not counted."""

HEARTBEAT = "1"
"""Seconds: the servers are shared out sooner than with the usual five."""

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Used:
    """One fleet, both ways. `wrong` jobs ended otherwise than succeeded."""

    asked: Saturation
    direct: Saturated
    through: Saturated
    wrong: int

    @property
    def ideal(self) -> float:
        """Jobs per second of servers that need exactly their step for each and never pause."""
        return self.asked.servers / self.asked.step


@dataclass(frozen=True, slots=True)
class Split:
    """The same fleet with one dispatcher and then with two. `servers` and `jobs` of each of the two."""

    one: Saturated
    two: Saturated
    servers: tuple[int, ...]
    jobs: tuple[int, ...]
    accounts: tuple[int, ...]
    wrong: int


async def used(asked: Saturation, folder: Path, say: Say) -> Used:
    """Both turns on a farm of its own."""
    say(f"{asked.servers} servers with jobs of {asked.step:g} s, asked directly")
    async with staged(folder, asked.servers, asked.step) as stage:
        began = now()
        await directly(stage.servers, asked.jobs)
        direct = saturated(await runs(stage.servers, began), began)
        say(f"{asked.servers} servers with jobs of {asked.step:g} s, through Atelier")
        async with stage.dispatcher():
            await _warm_up(stage, asked)
            through, wrong = await _turn(stage, asked)
    return Used(asked, direct, through, wrong)


async def split(asked: Saturation, folder: Path, say: Say) -> Split:
    """One dispatcher, then a second beside it when each has its part of the servers."""
    async with staged(folder, asked.servers, asked.step) as stage, contextlib.AsyncExitStack() as dispatchers:
        say(f"{asked.servers} servers with jobs of {asked.step:g} s, one dispatcher")
        await dispatchers.enter_async_context(stage.dispatcher(lease_heartbeat=HEARTBEAT))
        await _warm_up(stage, asked)
        one, _ = await _turn(stage, asked)
        say("a second dispatcher joins")
        await dispatchers.enter_async_context(stage.dispatcher(lease_heartbeat=HEARTBEAT))
        await _shared(stage)
        before = await stage.count("SELECT coalesce(max(position), 0) FROM jobs")
        say(f"{asked.servers} servers with jobs of {asked.step:g} s, two dispatchers")
        two, wrong = await _turn(stage, asked)
        parts = await _parts(stage, before)
        accounts = await _accounts(stage, before)
    return Split(one, two, tuple(part[0] for part in parts), tuple(part[1] for part in parts), accounts, wrong)


async def _warm_up(stage: Stage, asked: Saturation) -> None:
    """Connections, prepared statements, and run times, without which nothing is placed ahead of its turn."""
    await fleet_known(stage.database, asked.servers)
    await stage.submit(asked.servers * WARM_UP)
    await stage.ended()


async def _turn(stage: Stage, asked: Saturation) -> tuple[Saturated, int]:
    began = now()
    await stage.submit(asked.servers * asked.jobs)
    submitted = now()
    wrong = await stage.ended()
    return saturated(await runs(stage.servers, began), submitted), wrong


async def _shared(stage: Stage) -> None:
    """Until both dispatchers have leases, and as many as each other."""
    await stages.until(lambda: _even(stage))


async def _even(stage: Stage) -> bool:
    held = [row[0] for row in await stage.rows(_HELD)]
    return len(held) == 2 and max(held) - min(held) <= len(stage.servers) % 2


async def _parts(stage: Stage, before: int) -> Sequence[tuple[int, int]]:
    """Servers and jobs of each dispatcher."""
    return [(row[0], row[1]) for row in await stage.rows(_PARTS, before)]


async def _accounts(stage: Stage, before: int) -> tuple[int, ...]:
    """Jobs of each account among the first half that began, while all of them still waited."""
    return tuple(row[0] for row in await stage.rows(_BEGUN, before))


_HELD = """
SELECT count(*) FROM leases l JOIN dispatchers d ON d.id = l.dispatcher_id AND d.expires_at > clock_timestamp()
GROUP BY d.id
"""
_PARTS = """
SELECT count(DISTINCT l.server_id), count(j.id)
FROM leases l JOIN attempts a ON a.server_id = l.server_id AND a.outcome = 'succeeded'
JOIN jobs j ON j.id = a.job_id AND j.position > %s
GROUP BY l.dispatcher_id ORDER BY l.dispatcher_id
"""
_BEGUN = """
SELECT count(*) FROM (
    SELECT j.account_id, row_number() OVER (ORDER BY a.claimed_at) AS place, count(*) OVER () AS in_all
    FROM jobs j JOIN attempts a ON a.job_id = j.id AND a.outcome = 'succeeded' WHERE j.position > %s) begun
WHERE place <= in_all / 2 GROUP BY account_id ORDER BY 1
"""
