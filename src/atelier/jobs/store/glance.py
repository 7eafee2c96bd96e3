"""What changed lately for an account, by one statement whose work does not grow with its history."""

from dataclasses import dataclass

from atelier.jobs.store.native_statements import REMAINING
from atelier.kit.database import Tx
from atelier.kit.ids import AccountId, JobId

# The condition of the index jobs_ended, to the letter, then a bound.
_ENDED = """
SELECT ended.id FROM (
    SELECT id, finished_at, position FROM jobs
    WHERE account_id = %(account)s AND finished_at IS NOT NULL AND NOT forgotten
      AND (state <> 'canceled' OR started_at IS NOT NULL)
      AND finished_at > now() - make_interval(secs => %(seconds)s)
    ORDER BY account_id DESC, finished_at DESC, position DESC LIMIT 10000) ended
WHERE EXISTS (SELECT 1 FROM native_prompts WHERE job_id = ended.id)
ORDER BY ended.finished_at, ended.position
"""

_GLANCE = f"SELECT remaining.*, ARRAY({_ENDED}) FROM ({REMAINING}) remaining"  # noqa: S608 - fixed columns


@dataclass(frozen=True, slots=True)
class Glance:
    """`remaining`: jobs that wait or run. `ended`: native jobs that ended within the time asked for, oldest first.

    Those that were canceled before they began, or taken out of the history, are not among them.
    """

    remaining: int
    ended: tuple[JobId, ...]


async def glance(tx: Tx, account_id: AccountId, seconds: float) -> Glance:
    """`seconds` back by the database's clock, 10,000 jobs at most."""
    row = await (await tx.execute(_GLANCE, {"account": account_id, "seconds": seconds})).fetchone()
    return Glance(int(row[0]), tuple(JobId(job_id) for job_id in row[1])) if row else Glance(0, ())
