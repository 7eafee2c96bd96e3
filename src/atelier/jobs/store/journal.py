"""What happened to an account's newest jobs, read from the jobs themselves."""

import datetime as dt
from dataclasses import dataclass

from atelier.jobs.model import JobState
from atelier.kit.database import Tx
from atelier.kit.ids import AccountId

_NEWEST = """
SELECT coalesce(j.native_prompt_id, j.id)::text, j.state, j.created_at, j.started_at, j.finished_at,
       coalesce(j.error ->> 'message', ''), coalesce(a.server_id, '')
FROM jobs j LEFT JOIN attempts a ON a.job_id = j.id AND a.number = j.attempt
WHERE j.account_id = %s ORDER BY j.position DESC LIMIT %s
"""


@dataclass(frozen=True, slots=True)
class Course:
    """One job's course so far. `reason` is why it failed, `server_id` where it was last; both may be empty."""

    prompt_id: str
    state: JobState
    created_at: dt.datetime
    started_at: dt.datetime | None
    finished_at: dt.datetime | None
    reason: str
    server_id: str


async def newest(tx: Tx, account_id: AccountId, most: int) -> list[Course]:
    """Newest first."""
    rows = await tx.execute(_NEWEST, (account_id, most))
    return [Course(row[0], JobState(row[1]), *row[2:]) for row in await rows.fetchall()]
