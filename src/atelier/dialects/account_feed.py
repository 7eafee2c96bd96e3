"""All that happens to an account's jobs and batches, told once and in order per job to each who follows it.

Nothing waits in memory for a slow reader: the event log does, and whoever reads on is told from where it stopped.
"""

import asyncio
import uuid
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import structlog

from atelier.dialects.asked import moment
from atelier.dialects.auth import Call
from atelier.dialects.jobs_v1_wire import output_shown
from atelier.jobs import stream
from atelier.jobs.model import JobState, Progress
from atelier.jobs.store import stream as store
from atelier.jobs.store.reads import output_from_json
from atelier.jobs.stream import Chosen, Cursor, Happening, Running, Standing
from atelier.kit import clock
from atelier.kit.database import AWAY, Tx
from atelier.kit.ids import JobId

HEAL_SECONDS = 2.0
"""A wake-up that was lost costs so much."""

PACE_SECONDS = 0.03
"""Between two readings of a busy account, so that many events share one."""

AWAY_SECONDS = 1.0

MOST_FOLLOWED = 200
"""Running jobs whose progress is told when it is made; that of others every HEAL_SECONDS."""

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Word:
    """One message. With a `cursor`, whoever was told it and all before it may go on from there."""

    kind: str
    cursor: Cursor | None
    data: Mapping[str, Any] = field(default_factory=dict[str, Any])


Tell = Callable[[Sequence[Word]], Awaitable[None]]
"""Tells some words, in order; none: that all is well. It waits while they are not taken."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What is followed. `since` None: from now on. `everybody`: the jobs of all accounts, for admins."""

    since: Cursor | None = None
    chosen: Chosen = field(default_factory=lambda: Chosen(()))
    everybody: bool = False
    progress: bool = True


class AccountFeed:
    """One follower; `run` tells until it is cancelled."""

    def __init__(self, call: Call, wish: Wish) -> None:
        self._call = call
        self._services = call.services
        self._wish = wish
        self._chosen = wish.chosen
        self._progress: dict[JobId, Progress] = {}
        self._completed: set[uuid.UUID] = set()
        self._told_at = clock.monotonic()

    async def run(self, tell: Tell) -> None:
        """PostgreSQL may come and go meanwhile."""
        account = "queue" if self._wish.everybody else f"account:{self._call.caller.account_id}"
        with self._services.wakeups.subscribe(account) as woken:
            cursor = await self._begin(tell)
            while True:
                try:
                    reading, words = await self._read(cursor)
                except AWAY as error:
                    _log.info("events.database_away", reason=str(error))
                    await asyncio.sleep(AWAY_SECONDS)
                    continue
                await self._tell(words, tell)
                cursor = reading.cursor
                followed = (f"job:{job_id}" for job_id in list(self._progress)[:MOST_FOLLOWED])
                self._services.wakeups.retune(woken, (account, *followed))
                if not reading.more:
                    await asyncio.sleep(PACE_SECONDS)
                    await woken.wait(HEAL_SECONDS)

    async def _begin(self, tell: Tell) -> Cursor:
        """Where to begin, and the first word: `ready`, or `reset` where what was missed cannot be told."""
        since = self._wish.since
        async with self._services.database.autocommit() as tx:
            await self._see_everybody(tx)
            if since is not None and await stream.resumable(tx, self._chosen, since):
                await tell([Word("ready", since, {"resumed": True})])
                return since
            cursor = await stream.now(tx)
        if since is None:
            await tell([Word("ready", cursor, {"resumed": False})])
        else:
            reason = "More happened since then than is told again: read GET /api/v1/jobs, then go on from here."
            await tell([Word("reset", cursor, {"reason": reason})])
        return cursor

    async def _read(self, cursor: Cursor) -> tuple[stream.Reading, list[Word]]:
        async with self._services.database.autocommit() as tx:
            await self._see_everybody(tx)
            reading = await stream.read(tx, self._chosen, cursor)
            standing = await stream.standing(tx, self._batches(reading.events))
            running = await stream.running(tx, self._chosen) if self._wish.progress else []
        return reading, [*self._news(reading, standing), *self._looks(running)]

    def _news(self, reading: stream.Reading, standing: Sequence[Standing]) -> list[Word]:
        """How batches stand belongs to the last event: only with the two of them is the page told."""
        words = [self._word(event, cursor) for event, cursor in reading.told()]
        about = [self._about(one) for one in standing if one.batch_id not in self._completed]
        if about:
            words[-1] = Word(words[-1].kind, None, words[-1].data)
            about[-1] = Word(about[-1].kind, reading.cursor, about[-1].data)
        self._completed |= {one.batch_id for one in standing if not one.live}
        return [*words, *about]

    def _word(self, event: Happening, cursor: Cursor) -> Word:
        said: dict[str, Any] = {
            "job_id": str(event.key.job_id),
            "seq": event.key.seq,
            "at": moment(event.at),
            "account_id": str(event.account_id),
            "workflow_id": event.workflow or None,
            "batch_id": str(event.batch_id) if event.batch_id else None,
            "end_user": event.end_user,
        }
        match event.kind:
            case "output":
                output = output_shown(output_from_json(event.data), self._call)
                return Word("job.output", cursor, said | {"state": JobState.SUCCEEDED, "output": output})
            case "status":
                state = JobState(event.data["state"]).shown
                return Word(f"job.{state}", cursor, said | dict(event.data) | {"state": state})
            case _:
                return Word("job.retrying", cursor, said | dict(event.data) | {"state": JobState.QUEUED})

    def _batches(self, events: Sequence[Happening]) -> set[uuid.UUID]:
        return {event.batch_id for event in events if event.batch_id is not None and event.terminal}

    def _about(self, one: Standing) -> Word:
        return Word("batch.progress" if one.live else "batch.completed", None, standing_shown(one))

    def _looks(self, running: Sequence[Running]) -> list[Word]:
        """Progress that is new, of jobs that run. It never goes back."""
        before, self._progress = self._progress, {}
        words: list[Word] = []
        for job in running:
            known = before.get(job.job_id)
            newer = (
                job.progress if job.progress and (known is None or job.progress.value >= known.value) else known
            )
            self._progress[job.job_id] = newer or _NOTHING_YET
            if newer is not None and newer is not known and newer != known:
                words.append(Word("job.progress", None, _shown(job, newer)))
        return words

    async def _see_everybody(self, tx: Tx) -> None:
        """Accounts that came meanwhile are followed too."""
        if self._wish.everybody:
            chosen = self._wish.chosen
            everybody = await store.everybody(tx)
            self._chosen = Chosen(everybody, chosen.end_user, chosen.workflow, chosen.batch_id)

    async def _tell(self, words: Sequence[Word], tell: Tell) -> None:
        quiet = clock.monotonic() - self._told_at > self._services.keepalive
        if words or quiet:
            await tell(words)
            self._told_at = clock.monotonic()


_NOTHING_YET = Progress(0.0, 0, 0)


def _shown(job: Running, progress: Progress) -> dict[str, Any]:
    return {
        "job_id": str(job.job_id),
        "account_id": str(job.account_id),
        "workflow_id": job.workflow or None,
        "batch_id": str(job.batch_id) if job.batch_id else None,
        "end_user": job.end_user,
        "state": job.state.shown,
        "progress": progress.as_json(),
    }


def standing_shown(one: Standing) -> dict[str, Any]:
    """How a batch stands: counts of its jobs; `progress` from 0 to 1."""
    ended = sum(one.ended.values())
    return {
        "batch_id": str(one.batch_id),
        "workflow_id": one.workflow,
        "total": one.total,
        "refused": one.refused,
        "live": one.live,
        **{str(state): count for state, count in one.ended.items()},
        "progress": round(ended / (ended + one.live), 4) if ended else 0.0,
    }
