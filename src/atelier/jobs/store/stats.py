"""How many unfinished jobs there are, by everything that operators ask for at once."""

import datetime as dt
from dataclasses import dataclass

from atelier.jobs.model import JobState
from atelier.kit.database import Tx
from atelier.kit.ids import AccountId

# Both halves are read through the partial indexes of their states: finished jobs cost nothing.
_GROUPS = """
SELECT requirement_id, lane, account_id, priority, state, count(*), min(created_at),
       count(*) FILTER (WHERE not_before > now())
FROM jobs WHERE state = 'queued' GROUP BY 1, 2, 3, 4, 5
UNION ALL
SELECT requirement_id, lane, account_id, priority, state, count(*), min(created_at), 0
FROM jobs WHERE state IN ('claimed', 'running', 'canceling') GROUP BY 1, 2, 3, 4, 5
"""


@dataclass(frozen=True, slots=True)
class Group:
    """Jobs that are alike; `oldest` of them was accepted then; `delayed` of them wait for their next try."""

    requirement_id: int
    lane: str
    account_id: AccountId
    priority: int
    state: JobState
    jobs: int
    oldest: dt.datetime
    delayed: int


async def groups(tx: Tx) -> list[Group]:
    """All unfinished jobs, in groups. It reads each of them: ask seldom."""
    rows = await tx.execute(_GROUPS)
    return [
        Group(row[0], row[1], AccountId(row[2]), row[3], JobState(row[4]), row[5], row[6], row[7])
        for row in await rows.fetchall()
    ]
