"""A job as those see it who ask why: terms, attempts and evidence; and what of it may still change."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from atelier.jobs import service
from atelier.jobs.model import Job, JobState
from atelier.jobs.recipe import Recipe
from atelier.jobs.store import details, recipes
from atelier.jobs.store.details import Attempt, Terms
from atelier.kit.database import Tx
from atelier.kit.errors import Kind, Refusal
from atelier.kit.ids import AccountId, JobId, parse_uuid

_ADDRESS = re.compile(
    r"https?://[^\s'\"]+|\[[0-9a-f:.]+\](?::\d+)?|\b(?:\d{1,3}\.){3}\d{1,3}(?::\d+)?\b|\b[\w.-]+\w:\d{2,5}\b",
    re.IGNORECASE,
)
_HIDDEN = "(address)"


class JobNotWaiting(Refusal):
    """What is asked can only be done to a job that waits."""

    kind = Kind.CONFLICT
    code = "job_not_waiting"


@dataclass(frozen=True, slots=True)
class Whole:
    """A job with all that is known of it."""

    job: Job
    terms: Terms
    attempts: tuple[Attempt, ...]
    recipe: Recipe | None = None
    """What it was made of, where that was a workflow."""


async def owner(tx: Tx, job_id: JobId) -> AccountId:
    """Whose job it is, for those who may see everybody's. Raises JobNotFound."""
    found = await details.owner(tx, job_id)
    if found is None:
        raise service.JobNotFound(f"There is no job {job_id}.")
    return found


async def whole(tx: Tx, account_id: AccountId, job_id: JobId) -> Whole:
    """The account's own job. Raises JobNotFound."""
    job = await service.read(tx, account_id, job_id)
    terms = await details.terms(tx, job_id)
    if terms is None:
        raise service.JobNotFound(f"There is no job {job_id}.")
    recipe = await recipes.recipe_of(tx, account_id, job_id) if job.workflow else None
    return Whole(job, terms, tuple(await details.attempts(tx, job_id)), recipe)


async def newest(
    tx: Tx, *, limit: int, cursor: str | None, states: Sequence[JobState]
) -> tuple[list[Job], str | None]:
    """The newest jobs of all accounts, and the cursor of the next page. Raises InvalidCursor."""
    before = parse_uuid(cursor) if cursor else None
    if cursor and before is None:
        raise service.InvalidCursor("This cursor was not given by this API; start again without one.")
    found = await details.newest(tx, limit=limit + 1, before=JobId(before) if before else None, states=states)
    jobs = [await service.read(tx, account_id, job_id) for job_id, account_id in found[:limit]]
    return jobs, str(jobs[-1].id) if len(found) > limit else None


async def set_priority(tx: Tx, job: Job, wish: int, ceiling: int) -> int:
    """Give a waiting job another class, `ceiling` at most; gives the class. Wake `queue` after the commit.

    Raises JobNotWaiting.
    """
    granted = min(wish, ceiling)
    if not await details.set_priority(tx, job.id, granted, wish if wish > granted else None):
        raise JobNotWaiting(
            "A server has this job already, or it has ended: its priority decides nothing any more."
        )
    return granted


def without_addresses(value: Any) -> Any:
    """Evidence for the job's owner: where servers are is the operator's business."""
    match value:
        case str():
            return _ADDRESS.sub(_HIDDEN, value)
        case dict():
            members = cast("Mapping[str, Any]", value)
            return {name: without_addresses(member) for name, member in members.items()}
        case list():
            return [without_addresses(member) for member in cast("list[Any]", value)]
        case _:
            return value
