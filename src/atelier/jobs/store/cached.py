"""Files that are given again: a key's row is held first, then jobs in the order of their ids, then blobs are kept.

A blob is only kept from being collected (FOR KEY SHARE): whoever deletes a record of it may go on meanwhile, and
collecting skips what is kept and judges it anew later, when the new record stands.
"""

import datetime as dt
import uuid
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import LiteralString

from atelier.assets.model import Blob, Digest
from atelier.jobs.model import Job, JobState
from atelier.jobs.store import reads
from atelier.kit.database import Tx
from atelier.kit.ids import AccountId, JobId

# In one order, so that two batches of the same keys never wait for each other. A row that stands is locked too.
_HOLD = """
INSERT INTO results AS r (cache_key, job_id)
SELECT key, job FROM unnest(%(keys)s::bytea[], %(jobs)s::uuid[]) AS w(key, job) ORDER BY key
ON CONFLICT (cache_key) DO UPDATE SET job_id = r.job_id
RETURNING cache_key, job_id
"""

_LEAD = """
UPDATE results r SET job_id = w.job FROM unnest(%(keys)s::bytea[], %(jobs)s::uuid[]) AS w(key, job)
WHERE r.cache_key = w.key
"""

_FOUND = """
SELECT r.cache_key, j.id, j.state, j.account_id, j.priority, j.keep_until
FROM unnest(%(keys)s::bytea[]) AS asked(key)
CROSS JOIN LATERAL (SELECT * FROM results WHERE cache_key = asked.key LIMIT 1) r
CROSS JOIN LATERAL (SELECT * FROM jobs WHERE id = r.job_id LIMIT 1) j
"""

# One row for each file of each job, without a hash where its record is gone or has expired.
_FILES: LiteralString = """
SELECT s.id AS source_id, o.ordinal, o.node_id, o.name, o.kind, o.temporary, o.subfolder, a.content_type,
       a.file_path, a.hash
FROM (SELECT DISTINCT id FROM unnest(%(sources)s::uuid[]) AS given(id)) s
CROSS JOIN LATERAL (SELECT * FROM outputs WHERE job_id = s.id) o
LEFT JOIN LATERAL (SELECT content_type, file_path, hash FROM assets
                   WHERE id = o.asset_id AND (expires_at IS NULL OR expires_at > now()) LIMIT 1) a ON true
"""

_BLOBS = f"""
WITH file AS MATERIALIZED ({_FILES})
SELECT f.source_id, b.hash, b.generation, b.size, b.content_type FROM file f
LEFT JOIN LATERAL (SELECT * FROM blobs WHERE hash = f.hash LIMIT 1) b ON true
"""  # noqa: S608 - fixed columns

# What `_SUCCESS` of the attempts writes at the end of a run, for many jobs at once and with files that are there.
_GIVE = f"""
WITH file AS MATERIALIZED ({_FILES}
), kept AS MATERIALIZED (
    SELECT hash, size FROM blobs WHERE hash = ANY(ARRAY(SELECT hash FROM file WHERE hash IS NOT NULL))
    ORDER BY hash FOR KEY SHARE
), whole AS MATERIALIZED (
    SELECT source_id, count(*)::int AS files FROM file f LEFT JOIN kept k ON k.hash = f.hash
    GROUP BY source_id HAVING count(*) = count(k.hash)
), locked AS MATERIALIZED (
    SELECT j.id, w.source_id, w.files
    FROM unnest(%(jobs)s::uuid[], %(of)s::uuid[]) AS wish(job_id, source_id)
    JOIN whole w ON w.source_id = wish.source_id JOIN jobs j ON j.id = wish.job_id
    WHERE j.state = 'preparing' ORDER BY j.id FOR UPDATE OF j
), job AS (
    UPDATE jobs j SET state = 'succeeded', secrets = NULL, started_at = now(), finished_at = now(),
                      event_seq = j.event_seq + l.files + 1
    FROM locked l WHERE j.id = l.id
    RETURNING j.id, j.account_id, j.event_seq, j.keep_until, (j.created_at AT TIME ZONE 'UTC')::date AS day,
              l.source_id, l.files
), made AS MATERIALIZED (
    SELECT gen_random_uuid() AS asset_id, job.id AS job_id, job.account_id, job.keep_until, job.day,
           job.event_seq - job.files - 1 + f.place AS seq, f.*, k.size
    FROM job JOIN (SELECT *, row_number() OVER (PARTITION BY source_id ORDER BY ordinal)::int AS place
                   FROM file) f ON f.source_id = job.source_id
    JOIN kept k ON k.hash = f.hash
), asset AS (
    INSERT INTO assets (id, account_id, hash, content_type, file_path, expires_at, job_id)
    SELECT asset_id, account_id, hash, content_type, file_path, keep_until, job_id FROM made
), output AS (
    INSERT INTO outputs (asset_id, job_id, attempt, ordinal, node_id, name, kind, temporary, subfolder)
    SELECT asset_id, job_id, 0, ordinal, node_id, name, kind, temporary, subfolder FROM made
), event AS (
    INSERT INTO job_events (job_day, job_id, seq, kind, terminal, data)
    SELECT day, job_id, seq, 'output', false,
           jsonb_build_object('id', asset_id, 'node_id', node_id, 'name', name, 'kind', kind,
                              'content_type', content_type, 'size', size, 'hash', encode(hash, 'hex'),
                              'temporary', temporary)
    FROM made
    UNION ALL
    SELECT day, id, event_seq, 'status', true, '{{"state": "succeeded"}}' FROM job
), recipe AS (
    UPDATE job_recipes r SET cached = true, leader_id = NULL FROM job WHERE r.job_id = job.id
), hold AS (
    UPDATE holds h SET state = 'captured', captured = round(h.amount * %(part)s::float8), settled_at = now()
    FROM job WHERE h.job_id = job.id AND h.state = 'held'
)
SELECT id, account_id FROM job
"""  # noqa: S608 - fixed columns

# A walk along the index from one leader to the next, however many wait for each.
_LEFT = """
WITH RECURSIVE walk AS (
    (SELECT leader_id FROM job_recipes WHERE leader_id IS NOT NULL ORDER BY leader_id LIMIT 1)
    UNION ALL
    SELECT n.leader_id FROM walk w CROSS JOIN LATERAL (
        SELECT leader_id FROM job_recipes WHERE leader_id > w.leader_id ORDER BY leader_id LIMIT 1) n
)
SELECT leader_id FROM walk w
WHERE NOT EXISTS (SELECT 1 FROM jobs j WHERE j.id = w.leader_id AND j.finished_at IS NULL)
"""

_RELEASE = """
UPDATE job_recipes r SET leader_id = NULL
WHERE r.leader_id = ANY(%s) AND EXISTS (SELECT 1 FROM jobs j WHERE j.id = r.job_id AND j.state <> 'preparing')
"""

_KEY = "SELECT cache_key, job_id FROM job_recipes WHERE leader_id = %s AND cache_key IS NOT NULL LIMIT 1"

_FOLLOWERS = """
SELECT j.id, j.account_id FROM jobs j
WHERE j.id = ANY(ARRAY(SELECT job_id FROM job_recipes WHERE leader_id = %s)) AND j.state = 'preparing'
ORDER BY j.id LIMIT %s FOR UPDATE
"""

_FIRST = "SELECT id FROM jobs WHERE id = ANY(%s) ORDER BY priority DESC, position LIMIT 1"

_QUEUE = """
WITH job AS (
    UPDATE jobs SET state = 'queued', event_seq = event_seq + 1 WHERE id = %s AND state = 'preparing'
    RETURNING id, event_seq, (created_at AT TIME ZONE 'UTC')::date AS day
), recipe AS (
    UPDATE job_recipes r SET leader_id = NULL FROM job WHERE r.job_id = job.id
)
INSERT INTO job_events (job_day, job_id, seq, kind, data)
SELECT day, id, event_seq, 'status', '{"state": "queued"}' FROM job
"""

_FOLLOW = "UPDATE job_recipes SET leader_id = %s WHERE leader_id = %s AND job_id <> %s"

_ENDED = """
SELECT EXISTS (SELECT 1 FROM unnest(%s::uuid[]) AS asked(id)
               WHERE NOT EXISTS (SELECT 1 FROM jobs j WHERE j.id = asked.id AND j.finished_at IS NULL))
"""

# A leader of the same account is not left in a lower class than one that waits for it.
_RAISE = """
WITH locked AS MATERIALIZED (
    SELECT j.id, w.priority FROM unnest(%(jobs)s::uuid[], %(priorities)s::smallint[]) AS w(id, priority)
    JOIN jobs j ON j.id = w.id WHERE j.state = 'queued' AND j.priority < w.priority ORDER BY j.id FOR UPDATE OF j
)
UPDATE jobs j SET priority = l.priority FROM (SELECT id, max(priority) AS priority FROM locked GROUP BY id) l
WHERE j.id = l.id
"""

_OVERDUE = """
SELECT j.id, j.account_id, extract(epoch FROM now() - j.created_at)::float8 FROM jobs j
WHERE j.state = 'preparing' AND j.wait_until < now() AND NOT EXISTS (
    SELECT 1 FROM job_recipes r JOIN jobs l ON l.id = r.leader_id
    WHERE r.job_id = j.id AND l.state IN ('claimed', 'running'))
ORDER BY j.wait_until LIMIT %s FOR UPDATE OF j SKIP LOCKED
"""


@dataclass(frozen=True, slots=True)
class Found:
    """The job that a key's row names."""

    job_id: JobId
    state: JobState
    account_id: AccountId
    priority: int
    keep_until: dt.datetime


async def hold(tx: Tx, wanted: Mapping[bytes, JobId]) -> dict[bytes, JobId]:
    """Hold these keys until the commit; a key that nobody had names this job now. Gives whom each one names."""
    rows = await tx.execute(_HOLD, {"keys": list(wanted), "jobs": list(wanted.values())})
    return {bytes(row[0]): JobId(row[1]) for row in await rows.fetchall()}


async def lead(tx: Tx, leaders: Mapping[bytes, JobId]) -> None:
    """From now on these jobs make what the keys name. The keys are held."""
    await tx.execute(_LEAD, {"keys": list(leaders), "jobs": list(leaders.values())})


async def found(tx: Tx, keys: Collection[bytes]) -> dict[bytes, Found]:
    """The jobs that these keys name, as they are now."""
    rows = await tx.execute(_FOUND, {"keys": list(keys)})
    return {
        bytes(row[0]): Found(JobId(row[1]), JobState(row[2]), AccountId(row[3]), row[4], row[5])
        for row in await rows.fetchall()
    }


async def blobs_of(tx: Tx, job_ids: Collection[JobId]) -> dict[JobId, tuple[Blob, ...]]:
    """What these jobs made: of those that made anything, and whose records are all there."""
    rows = await tx.execute(_BLOBS, {"sources": list(job_ids)})
    whole: dict[JobId, list[Blob | None]] = {}
    for source, digest, generation, size, content_type in await rows.fetchall():
        one = Blob(Digest(bytes(digest)), generation, size, content_type) if digest is not None else None
        whole.setdefault(JobId(source), []).append(one)
    return {source: tuple(filter(None, found)) for source, found in whole.items() if None not in found}


async def give(tx: Tx, wishes: Mapping[JobId, JobId], part: float) -> dict[JobId, AccountId]:
    """End these prepared jobs with the files of those they name, where all of these are there.

    `part` of what is held for each is captured. Gives those that ended, and whose they are.
    """
    given = {"jobs": list(wishes), "of": list(wishes.values()), "sources": list(wishes.values()), "part": part}
    rows = await tx.execute(_GIVE, given)
    return {JobId(row[0]): AccountId(row[1]) for row in await rows.fetchall()}


async def ended(tx: Tx, job_ids: Collection[JobId]) -> dict[JobId, Job]:
    """These jobs as their owners read them. The caller has made them."""
    query = f"SELECT {reads.COLUMNS} FROM jobs j WHERE j.id = ANY(%s)"  # noqa: S608 - fixed columns
    rows = await tx.execute(query, (list(job_ids),))
    return {job.id: job for job in map(reads.job_of, await rows.fetchall())}


async def left(tx: Tx) -> list[JobId]:
    """Leaders that ended, or are gone, and that jobs still name."""
    return [JobId(row[0]) for row in await (await tx.execute(_LEFT)).fetchall()]


async def release(tx: Tx, leaders: Sequence[JobId]) -> None:
    """Those of their followers that do not wait any more name them no longer."""
    await tx.execute(_RELEASE, (list(leaders),))


async def key_of(tx: Tx, leader_id: JobId) -> tuple[bytes, JobId] | None:
    """What this leader was to make, and one of those who name it."""
    row = await (await tx.execute(_KEY, (leader_id,))).fetchone()
    return (bytes(row[0]), JobId(row[1])) if row else None


async def followers(tx: Tx, leader_id: JobId, most: int) -> dict[JobId, AccountId]:
    """The oldest of those who wait for this leader, locked."""
    rows = await tx.execute(_FOLLOWERS, (leader_id, most))
    return {JobId(row[0]): AccountId(row[1]) for row in await rows.fetchall()}


async def first(tx: Tx, job_ids: Collection[JobId]) -> JobId:
    """The one of them that runs first."""
    row = await (await tx.execute(_FIRST, (list(job_ids),))).fetchone()
    if row is None:
        raise LookupError("somebody locked these jobs for us")
    return JobId(row[0])


async def queue(tx: Tx, job_id: JobId) -> None:
    """It waits for a server from now on."""
    await tx.execute(_QUEUE, (job_id,))


async def follow(tx: Tx, leader_id: JobId, instead_of: JobId) -> None:
    """All who waited for one wait for another."""
    await tx.execute(_FOLLOW, (leader_id, instead_of, leader_id))


async def any_ended(tx: Tx, leaders: Collection[uuid.UUID]) -> bool:
    """Whether one of these ended, or is gone."""
    row = await (await tx.execute(_ENDED, (list(leaders),))).fetchone()
    return bool(row and row[0])


async def raise_priority(tx: Tx, wishes: Sequence[tuple[JobId, int]]) -> None:
    """Leaders that wait for a server come no later than these classes."""
    given = {"jobs": [job_id for job_id, _ in wishes], "priorities": [priority for _, priority in wishes]}
    await tx.execute(_RAISE, given)


async def overdue(tx: Tx, most: int) -> dict[JobId, tuple[AccountId, float]]:
    """Prepared jobs that waited longer than they may, locked, with the seconds; not those whose leader runs."""
    rows = await tx.execute(_OVERDUE, (most,))
    return {JobId(row[0]): (AccountId(row[1]), float(row[2])) for row in await rows.fetchall()}
