"""No twin waits for nobody: when the job that others wait for ends, they take its files, or one of them leads.

Whatever a killed process leaves undone is found again: a follower names its leader until it is settled.
"""

import asyncio
from collections.abc import Collection, Iterable, Mapping

import structlog

from atelier.assets.model import Blob
from atelier.fleet.words import span
from atelier.jobs.model import JobError, JobState
from atelier.jobs.store import attempts, cached
from atelier.kit.database import AWAY, Database, Tx
from atelier.kit.ids import AccountId, JobId
from atelier.kit.wakeups import Wakeups
from atelier.storage.model import Storage, StorageUnavailable

SWEEP_SECONDS = 10.0
HEAD_SECONDS = 10.0
"""How long the storage may take to say whether it has a file."""
HEADS_AT_ONCE = 16

AT_ONCE = 500
"""Followers that one transaction settles."""

_NEVER = frozenset({JobState.PREPARING, JobState.CANCELING, JobState.FAILED, JobState.CANCELED, JobState.EXPIRED})

TOPIC = "results"
"""A job that others may wait for has ended."""

_log = structlog.get_logger(__name__)


class Twins:
    """Settles those who wait for another job. `part` (0 to 1) of its price is what a job costs that ran nowhere.

    Any number of processes may do it at once, and be killed at any point.
    """

    def __init__(self, database: Database, storage: Storage, wakeups: Wakeups, part: float = 0.0) -> None:
        self._database = database
        self._storage = storage
        self._wakeups = wakeups
        self._part = part

    async def run(self) -> None:
        """Settle when a leader ends, and every ten seconds whatever nobody told of, until cancelled."""
        with self._wakeups.subscribe(TOPIC, "cancel") as woken:
            while True:
                try:
                    await self.settle()
                except AWAY as error:
                    _log.warning("database.away", reason=str(error))
                await woken.wait(SWEEP_SECONDS)

    async def settle(self) -> int:
        """One round: how many leaders had ended. Those whose files the storage does not tell of stay for now."""
        async with self._database.transaction() as tx:
            leaders = await cached.left(tx)
            await cached.release(tx, leaders)
        for leader_id in leaders:
            try:
                await self._settle(leader_id)
            except StorageUnavailable as refusal:
                _log.warning("storage.away", job=str(leader_id), reason=refusal.message)
        return len(leaders)

    async def _settle(self, leader_id: JobId) -> None:
        """Those who wait for this leader, which ended."""
        given = dict[JobId, AccountId]()
        if leader_id in await with_files(self._database, self._storage, [leader_id]):
            given = await self._given(leader_id)
        async with self._database.transaction() as tx:
            await lead_anew(tx, leader_id)
        tell(self._wakeups, given)
        self._wakeups.publish("queue")

    async def _given(self, leader_id: JobId) -> dict[JobId, AccountId]:
        """They have its files now, unless somebody took one away this moment."""
        given = dict[JobId, AccountId]()
        while True:
            async with self._database.transaction() as tx:
                some = await give(tx, leader_id, self._part)
            given |= some
            if not some:
                return given


async def give(tx: Tx, leader_id: JobId, part: float) -> dict[JobId, AccountId]:
    """Some of those who wait for this leader end with its files, where all of these are there."""
    waiting = await cached.followers(tx, leader_id, AT_ONCE)
    return await cached.give(tx, dict.fromkeys(waiting, leader_id), part)


async def lead_anew(tx: Tx, leader_id: JobId) -> None:
    """One of those who still wait runs in its place, unless a job makes the same by now; the others wait for that.

    They would wait for a leader without files again and again, if it led them: it must not be the one that ended.
    """
    asked = await cached.key_of(tx, leader_id)
    if asked is None:
        return
    key, candidate = asked
    named = (await cached.hold(tx, {key: candidate}))[key]
    waiting = await cached.followers(tx, leader_id, AT_ONCE)
    if not waiting:
        return
    if named == leader_id or named in waiting or not await _makes(tx, key):
        named = await cached.first(tx, waiting)
        await cached.queue(tx, named)
        await cached.lead(tx, {key: named})
    await cached.follow(tx, named, leader_id)


async def _makes(tx: Tx, key: bytes) -> bool:
    """Whether the job that this key names makes it, or made it."""
    found = (await cached.found(tx, [key])).get(key)
    return found is not None and found.state not in _NEVER


async def with_files(database: Database, storage: Storage, job_ids: Collection[JobId]) -> set[JobId]:
    """Those of these jobs whose files are all there, records and bytes. Raises StorageUnavailable."""
    async with database.autocommit() as tx:
        made = await cached.blobs_of(tx, job_ids)
    there = await _stored(storage, {blob.key: blob for blobs in made.values() for blob in blobs}.values())
    return {job_id for job_id, blobs in made.items() if all(blob.key in there for blob in blobs)}


async def _stored(storage: Storage, blobs: Iterable[Blob]) -> set[str]:
    """The keys of those that the storage has whole."""
    slots, there = asyncio.Semaphore(HEADS_AT_ONCE), set[str]()

    async def look(blob: Blob) -> None:
        async with slots:
            if await storage.head(blob.key) == blob.size:
                there.add(blob.key)

    try:
        async with asyncio.timeout(HEAD_SECONDS), asyncio.TaskGroup() as group:
            for blob in blobs:
                group.create_task(look(blob))
    except* StorageUnavailable as away:
        raise away.exceptions[0] from None
    except* TimeoutError:
        raise StorageUnavailable("The file storage does not answer.", retry_after=30) from None
    return there


async def expire(tx: Tx, most: int = 500) -> dict[JobId, AccountId]:
    """End those who waited too long for a job that no server has begun. Gives whose they were.

    Wake `job:<id>` and `account:<id>` after the commit.
    """
    overdue = await cached.overdue(tx, most)
    for job_id, (_, seconds) in overdue.items():
        told = f"It waited {span(seconds)} and was still waiting for a job that makes the same."
        await attempts.end_job(tx, job_id, JobState.EXPIRED, JobError("expired", told))
    return {job_id: account_id for job_id, (account_id, _) in overdue.items()}


def tell(wakeups: Wakeups, ended: Mapping[JobId, AccountId]) -> None:
    """Those who follow these jobs hear that they ended. After the commit."""
    for job_id in ended:
        wakeups.publish(f"job:{job_id}")
    for account_id in set(ended.values()):
        wakeups.publish(f"account:{account_id}")
