"""What waits, read so that no cost grows with the number of jobs or of requirement sets.

The index is walked from one waiting party to the next; of each of those whose turn it may be, the first jobs are
looked at, and those whose models are loaded on a free server. What lies deeper is found by requirement set, and
only when a free server found nothing.
"""

import dataclasses
import uuid
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from atelier.fleet.fairness import CREDIT, Standing
from atelier.fleet.model import Party
from atelier.jobs.model import Head
from atelier.kit.database import Tx
from atelier.kit.ids import AccountId, JobId

PARTIES = 2000
"""Parties that one reading walks through at most; also the requirement sets of one look at them."""

# In the statements these two stand as numbers: a plan that does not know them reads whole queues and sorts them.
_TURNS = "64"
_OF_LANE = "16"

TURNS = int(_TURNS)
"""Parties whose jobs one reading looks at, and how deep into each."""

OF_LANE = int(_OF_LANE)
"""Jobs of each warm lane that are looked at."""

Place = tuple[uuid.UUID, str]
"""Where a walk through the parties begins: behind this account and end user."""

BEGINNING: Place = (uuid.UUID(int=0), "")

_JOB = """j.id, j.attempt, j.requirement_id, j.lane, j.position, j.shape,
          extract(epoch FROM now() - j.created_at)::float8 AS age, j.avoid, j.vram_over, j.number, j.not_before"""
_TAKEN = "id, attempt, requirement_id, lane, position, shape, age, avoid, vram_over, number"
_PARTY = (
    "priority, account_id, end_user, virtual_time, clock, weight, on_servers, most, in_all, account_to, user_to"
)
_MAY = "not_before <= now() AND requirement_id <> ALL(%(refused)s::bigint[])"

# Classes, parties and what runs are small sets of their own: each is asked once, by its index, also where the plan
# was made while all tables were empty.
_STANDING = """
on_servers AS MATERIALIZED (
    SELECT account_id, end_user, count(*) AS jobs FROM jobs
    WHERE state IN ('claimed', 'running', 'canceling') GROUP BY account_id, end_user
), clocks AS MATERIALIZED (
    SELECT class::smallint AS priority,
           coalesce((SELECT s.started FROM shares s WHERE s.priority + 0 = class
                     ORDER BY s.priority + 0 DESC, s.started DESC LIMIT 1), 0) AS clock
    FROM generate_series(1, 10) AS class
), standing AS MATERIALIZED (
    SELECT p.priority, p.account_id, p.end_user, s.virtual_time, c.clock, coalesce(a.weight, 1) AS weight,
           coalesce(o.jobs, 0)::int AS on_servers, nullif(coalesce(a.max_running, %(limit)s), 0) AS most,
           (SELECT coalesce(sum(jobs), 0) FROM on_servers)::int AS in_all,
           (SELECT account_id FROM party OFFSET %(last)s LIMIT 1) AS account_to,
           (SELECT end_user FROM party OFFSET %(last)s LIMIT 1) AS user_to
    FROM party p JOIN clocks c ON c.priority = p.priority
    LEFT JOIN on_servers o ON o.account_id = p.account_id AND o.end_user = p.end_user
    LEFT JOIN LATERAL (SELECT virtual_time FROM shares WHERE priority = p.priority
                       AND account_id = p.account_id AND end_user = p.end_user) s ON true
    LEFT JOIN LATERAL (SELECT weight, max_running FROM accounts WHERE id = p.account_id) a ON true
)
"""

_READ = f"""
WITH RECURSIVE walk AS (
    SELECT class::smallint AS priority, f.account_id, f.end_user
    FROM generate_series(10, 1, -1) AS class CROSS JOIN LATERAL (
        SELECT j.account_id, j.end_user FROM jobs j WHERE j.state = 'queued' AND j.priority = class::smallint
          AND (j.account_id, j.end_user) > (%(account)s::uuid, %(user)s::text)
        ORDER BY j.account_id, j.end_user LIMIT 1) f
    UNION ALL
    SELECT w.priority, n.account_id, n.end_user FROM walk w CROSS JOIN LATERAL (
        SELECT j.account_id, j.end_user FROM jobs j WHERE j.state = 'queued' AND j.priority = w.priority
          AND (j.account_id, j.end_user) > (w.account_id, w.end_user)
        ORDER BY j.account_id, j.end_user LIMIT 1) n
), party AS MATERIALIZED (SELECT * FROM walk LIMIT %(last)s + 1),
{_STANDING}, turn AS MATERIALIZED (
    SELECT * FROM standing WHERE most IS NULL OR on_servers < most
    ORDER BY priority DESC, greatest(coalesce(virtual_time, clock), clock - %(credit)s), account_id, end_user
    LIMIT {_TURNS}
)
SELECT {_PARTY}, h.* FROM turn t LEFT JOIN LATERAL (
    SELECT {_TAKEN} FROM (
        SELECT {_JOB} FROM jobs j
        WHERE j.state = 'queued' AND j.priority = t.priority AND j.account_id = t.account_id
          AND j.end_user = t.end_user
        ORDER BY j.priority DESC, j.account_id, j.end_user, coalesce(j.number, j.position), j.position
        LIMIT {_TURNS}) deep
    WHERE {_MAY}
    LIMIT greatest(%(each)s, %(enough)s / (SELECT greatest(count(*), 1) FROM turn))
) h ON true
UNION ALL
SELECT {_PARTY}, {_TAKEN} FROM unnest(%(lanes)s::text[]) AS warm(name) CROSS JOIN LATERAL (
    SELECT {_JOB}, j.priority AS class, j.account_id AS account, j.end_user AS behalf FROM jobs j
    WHERE j.state = 'queued' AND j.lane = warm.name
    ORDER BY j.lane, j.priority DESC, j.position LIMIT {_OF_LANE}) first
JOIN standing s ON s.priority = class AND s.account_id = account AND s.end_user = behalf
WHERE (most IS NULL OR on_servers < most) AND {_MAY}
"""  # noqa: S608 - fixed columns and numbers

_SETS = """
WITH RECURSIVE walk AS (
    (SELECT requirement_id FROM jobs WHERE state = 'queued' AND requirement_id > %(after)s
     ORDER BY requirement_id LIMIT 1)
    UNION ALL
    SELECT n.requirement_id FROM walk w CROSS JOIN LATERAL (
        SELECT j.requirement_id FROM jobs j WHERE j.state = 'queued' AND j.requirement_id > w.requirement_id
        ORDER BY j.requirement_id LIMIT 1) n
)
SELECT requirement_id FROM walk LIMIT %(most)s
"""

_OF_SETS = f"""
WITH first AS MATERIALIZED (
    SELECT h.* FROM unnest(%(sets)s::bigint[]) AS wanted(id) CROSS JOIN LATERAL (
        SELECT * FROM (
            SELECT {_JOB}, j.priority, j.account_id, j.end_user FROM jobs j
            WHERE j.state = 'queued' AND j.requirement_id = wanted.id
            ORDER BY j.requirement_id, j.priority DESC, j.position LIMIT {_TURNS}) deep
        WHERE not_before <= now() LIMIT %(each)s) h
), party AS MATERIALIZED (SELECT DISTINCT priority, account_id, end_user FROM first),
{_STANDING}
SELECT {_PARTY}, {_TAKEN} FROM first JOIN standing USING (priority, account_id, end_user)
WHERE most IS NULL OR on_servers < most
"""  # noqa: S608 - fixed columns


@dataclass(frozen=True, slots=True)
class Asked:
    """What a reading is for.

    `slots`: how many servers are free. `refused`: requirement sets (a few hundred at most) that none of them
    satisfies. `lanes`: those that are warm on one of them. `limit`: how many jobs of an account or end user may be
    on servers at once where its account does not say (0: any number). `walk`: how many parties are walked through.
    """

    slots: int
    refused: Collection[int] = ()
    lanes: Collection[str] = ()
    limit: int = 0
    start: Place = BEGINNING
    walk: int = PARTIES

    @property
    def each(self) -> int:
        """Jobs of each party that are read at least."""
        return min(max(self.slots, 2), 16)

    @property
    def enough(self) -> int:
        """Jobs that are read in all, where few parties wait."""
        return max(64, 4 * self.slots)


@dataclass(frozen=True, slots=True)
class Reading:
    """`heads` by no particular order; `standings` of all parties whose turn it may be, with or without a job here.

    `on_servers`: jobs there in all. `go_on`: where the next walk begins, when this one did not see all parties.
    `complete`: certainly nothing else may begin now.
    """

    heads: tuple[Head, ...]
    standings: tuple[Standing, ...]
    on_servers: int
    go_on: Place
    complete: bool


async def read(tx: Tx, asked: Asked) -> Reading:
    """What may be next."""
    rows = await tx.execute(
        _READ,
        {
            "account": asked.start[0],
            "user": asked.start[1],
            "last": asked.walk - 1,
            "limit": asked.limit,
            "refused": list(asked.refused),
            "lanes": list(asked.lanes),
            "credit": CREDIT,
            "each": asked.each,
            "enough": asked.enough,
        },
    )
    reading = _reading(await rows.fetchall())
    return dataclasses.replace(reading, complete=_complete(asked, reading))


async def requirement_sets(tx: Tx, after: int, most: int = PARTIES) -> list[int]:
    """Sets that jobs wait for, those behind `after`, in order: for walking through all of them, piece by piece."""
    rows = await tx.execute(_SETS, {"after": after, "most": most})
    return [row[0] for row in await rows.fetchall()]


async def of_requirement_sets(tx: Tx, sets: Sequence[int], *, each: int, limit: int) -> Reading:
    """The first `each` jobs of each of these requirement sets, wherever they lie."""
    rows = await tx.execute(_OF_SETS, {"sets": list(sets), "each": each, "limit": limit, "last": PARTIES - 1})
    return _reading(await rows.fetchall())


def _reading(rows: list[tuple[Any, ...]]) -> Reading:
    heads = {row[11]: _head(row) for row in rows if row[11] is not None}
    standings = {row[:3]: _standing(row) for row in rows}
    if not rows:
        return Reading((), (), 0, BEGINNING, complete=False)
    in_all, account_to, user_to = rows[0][8:11]
    go_on: Place = BEGINNING if account_to is None else (account_to, user_to)
    return Reading(tuple(heads.values()), tuple(standings.values()), in_all, go_on, complete=False)


def _complete(asked: Asked, reading: Reading) -> bool:
    """Whether no window was too small: of jobs, of parties, or for what was left out of it."""
    parties = len(reading.standings)
    most = max(asked.each, asked.enough // max(parties, 1))
    of_party = Counter((head.priority, head.account_id, head.end_user) for head in reading.heads)
    return not asked.refused and parties < TURNS and all(count < most for count in of_party.values())


def _standing(row: tuple[Any, ...]) -> Standing:
    return Standing(
        party=Party(row[0], AccountId(row[1]), row[2]),
        virtual_time=row[3],
        clock=row[4],
        weight=row[5],
        on_servers=row[6],
        most=row[7],
    )


def _head(row: tuple[Any, ...]) -> Head:
    job_id, attempt, requirement_id, lane, position, shape, age, avoid, vram_over, number = row[11:]
    return Head(
        job_id=JobId(job_id),
        attempt=attempt,
        requirement_id=requirement_id,
        lane=lane,
        priority=row[0],
        position=position,
        account_id=AccountId(row[1]),
        shape=bytes(shape),
        end_user=row[2],
        age=age,
        avoid=tuple(avoid),
        vram_over=vram_over,
        number=number,
    )
