"""What waits, in reads that are bounded however long the queue is, and what runs now."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from atelier.fleet.fairness import Standing
from atelier.fleet.model import Party, Waiting
from atelier.kit.database import Tx
from atelier.kit.ids import AccountId, JobId, ServerId

MOST_PARTIES = 2000
MOST_RUNNING = 5000

# From each waiting party of a class to the next by one probe of the index.
_STANDINGS = """
WITH RECURSIVE walk AS (
    SELECT class::smallint AS priority, f.account_id, f.end_user
    FROM generate_series(10, 1, -1) AS class CROSS JOIN LATERAL (
        SELECT j.account_id, j.end_user FROM jobs j WHERE j.state = 'queued' AND j.priority = class::smallint
        ORDER BY j.account_id, j.end_user LIMIT 1) f
    UNION ALL
    SELECT w.priority, n.account_id, n.end_user FROM walk w CROSS JOIN LATERAL (
        SELECT j.account_id, j.end_user FROM jobs j WHERE j.state = 'queued' AND j.priority = w.priority
          AND (j.account_id, j.end_user) > (w.account_id, w.end_user)
        ORDER BY j.account_id, j.end_user LIMIT 1) n
), party AS MATERIALIZED (SELECT * FROM walk LIMIT %(most)s
), on_servers AS MATERIALIZED (
    SELECT account_id, end_user, count(*)::int AS jobs FROM jobs
    WHERE state IN ('claimed', 'running', 'canceling') GROUP BY account_id, end_user
), clocks AS MATERIALIZED (
    SELECT class::smallint AS priority, coalesce((
        SELECT s.started FROM shares s WHERE s.priority + 0 = class
        ORDER BY s.priority + 0 DESC, s.started DESC LIMIT 1), 0) AS clock
    FROM generate_series(1, 10) AS class
)
SELECT p.priority, p.account_id, p.end_user, s.virtual_time, c.clock, coalesce(a.weight, 1),
       coalesce(o.jobs, 0), nullif(coalesce(a.max_running, %(limit)s), 0)
FROM party p JOIN clocks c ON c.priority = p.priority
LEFT JOIN on_servers o ON o.account_id = p.account_id AND o.end_user = p.end_user
LEFT JOIN LATERAL (SELECT virtual_time FROM shares WHERE priority = p.priority
                   AND account_id = p.account_id AND end_user = p.end_user) s ON true
LEFT JOIN LATERAL (SELECT weight, max_running FROM accounts WHERE id = p.account_id) a ON true
"""

_COLUMNS = """
    j.id, j.priority, j.account_id, j.end_user, j.position, j.requirement_id, j.lane, j.shape,
    extract(epoch FROM now() - j.created_at)::float8, j.avoid, j.vram_over,
    extract(epoch FROM j.not_before - now())::float8, l.server_id, l.cause, j.number
"""

# LIMIT 1 where at most one row can be: without it a plan may read all attempts, or all jobs, to join them.
_LAST_TRY = """
LEFT JOIN LATERAL (
    SELECT a.server_id, a.evidence ->> 'cause' AS cause FROM attempts a
    WHERE a.job_id = j.id AND a.number = j.attempt AND j.attempt > 0 LIMIT 1
) l ON true
"""

_WINDOWS = f"""
SELECT {_COLUMNS}
FROM unnest(%(priorities)s::int[], %(accounts)s::uuid[], %(users)s::text[]) AS p(priority, account_id, end_user)
CROSS JOIN LATERAL (
    SELECT * FROM jobs w WHERE w.state = 'queued' AND w.priority = p.priority AND w.account_id = p.account_id
                           AND w.end_user = p.end_user
    ORDER BY w.priority DESC, w.account_id, w.end_user, coalesce(w.number, w.position), w.position LIMIT %(each)s
) j {_LAST_TRY}
"""  # noqa: S608 - fixed columns

_SOME = f"SELECT {_COLUMNS} FROM jobs j {_LAST_TRY} WHERE j.id = ANY(%s)"  # noqa: S608 - fixed columns

_RUNS = """
SELECT a.job_id, a.server_id, a.state = 'running', j.state = 'canceling', j.shape, j.lane, j.priority,
       j.account_id, j.end_user, extract(epoch FROM now() - coalesce(a.started_at, a.claimed_at))::float8
FROM (SELECT * FROM attempts WHERE state <> 'ended' ORDER BY claimed_at LIMIT %s) a
CROSS JOIN LATERAL (SELECT * FROM jobs WHERE id = a.job_id LIMIT 1) j
ORDER BY a.claimed_at
"""

_LEFT = """
SELECT id, extract(epoch FROM now() - started_at)::float8 FROM jobs
WHERE id = ANY(%s) AND (started_at IS NOT NULL OR finished_at IS NOT NULL)
"""


@dataclass(frozen=True, slots=True)
class Queued:
    """A waiting job. `ready_in`: seconds until it may be tried (again), not positive: now.

    `failed_on`, `failed_by`: where its last try ended, and why (a `Cause`), if there was one.
    """

    waiting: Waiting
    ready_in: float
    failed_on: ServerId | None
    failed_by: str | None


@dataclass(frozen=True, slots=True)
class Run:
    """A live attempt. `seconds`: since it began, or since it was claimed while it did not begin."""

    job_id: JobId
    server_id: ServerId
    began: bool
    canceling: bool
    shape: bytes
    lane: str
    party: Party
    seconds: float


async def standings(tx: Tx, limit: int) -> list[Standing]:
    """Who waits, highest class first, two thousand parties at most.

    `limit`: how many jobs of an account or end user may run where its account does not say (0: any number).
    """
    rows = await tx.execute(_STANDINGS, {"most": MOST_PARTIES, "limit": limit})
    return [Standing(Party(row[0], AccountId(row[1]), row[2]), *row[3:]) for row in await rows.fetchall()]


async def windows(tx: Tx, parties: Sequence[Party], each: int) -> list[Queued]:
    """The first `each` waiting jobs of each of these parties."""
    rows = await tx.execute(
        _WINDOWS,
        {
            "priorities": [party.priority for party in parties],
            "accounts": [party.account_id for party in parties],
            "users": [party.end_user for party in parties],
            "each": each,
        },
    )
    return [_queued(row) for row in await rows.fetchall()]


async def some(tx: Tx, job_ids: Collection[JobId]) -> list[Queued]:
    """These jobs, as what waits is read."""
    return [_queued(row) for row in await (await tx.execute(_SOME, (list(job_ids),))).fetchall()]


async def runs(tx: Tx) -> list[Run]:
    """What lives on the servers, the oldest claim first."""
    return [_run(row) for row in await (await tx.execute(_RUNS, (MOST_RUNNING,))).fetchall()]


async def left(tx: Tx, job_ids: Collection[JobId]) -> dict[JobId, float | None]:
    """Those of these jobs that wait no more: seconds since they first began, None for one that never did."""
    rows = await tx.execute(_LEFT, (list(job_ids),))
    return {JobId(row[0]): row[1] for row in await rows.fetchall()}


def _queued(row: tuple[Any, ...]) -> Queued:
    waiting = Waiting(
        job_id=JobId(row[0]),
        party=Party(row[1], AccountId(row[2]), row[3]),
        position=row[4],
        requirement_id=row[5],
        lane=row[6],
        shape=bytes(row[7]),
        age=row[8],
        avoid=frozenset(ServerId(name) for name in row[9]),
        vram_over=row[10],
        number=row[14],
    )
    return Queued(waiting, ready_in=row[11], failed_on=row[12], failed_by=row[13])


def _run(row: tuple[Any, ...]) -> Run:
    return Run(
        job_id=JobId(row[0]),
        server_id=ServerId(row[1]),
        began=row[2],
        canceling=row[3],
        shape=bytes(row[4]),
        lane=row[5],
        party=Party(row[6], AccountId(row[7]), row[8]),
        seconds=row[9],
    )
