"""Many jobs of one request: their progress as a whole, their end together, and what became of each."""

import enum
import uuid
from collections.abc import Sequence
from dataclasses import dataclass

from atelier.jobs.model import JobState
from atelier.jobs.service import InvalidCursor
from atelier.jobs.store import batches
from atelier.jobs.store.batches import Batch, Item, NewBatch, RefusedItem
from atelier.kit.database import Tx
from atelier.kit.errors import NotFound
from atelier.kit.ids import AccountId, JobId, parse_uuid

__all__ = ["Batch", "BatchState", "Item", "NewBatch", "RefusedItem"]


class BatchNotFound(NotFound):
    code = "batch_not_found"


class BatchState(enum.StrEnum):
    """QUEUED: nothing has begun. PARTIAL: all ended, and not all succeeded; FAILED: none did.

    CANCELED: all ended, none succeeded, and one was canceled.
    """

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    PARTIAL = "partial"
    FAILED = "failed"
    CANCELED = "canceled"

    @property
    def terminal(self) -> bool:
        return self not in {BatchState.QUEUED, BatchState.RUNNING}


@dataclass(frozen=True, slots=True)
class Page:
    """Newest first. `next_cursor` is None on the last page."""

    batches: tuple[Batch, ...]
    next_cursor: str | None


def state_of(batch: Batch) -> BatchState:
    """Of the jobs that are left of it, and of the items that were refused."""
    states = batch.states
    waiting = sum(states.get(state, 0) for state in _WAITING)
    ended = sum(jobs for state, jobs in states.items() if state.terminal)
    if waiting + ended < sum(states.values()) or (waiting and ended):
        return BatchState.RUNNING
    if waiting:
        return BatchState.QUEUED
    return _end_of(batch, states.get(JobState.SUCCEEDED, 0), ended)


def _end_of(batch: Batch, succeeded: int, ended: int) -> BatchState:
    if succeeded:
        return BatchState.SUCCEEDED if succeeded == ended and not batch.refused else BatchState.PARTIAL
    return BatchState.CANCELED if batch.states.get(JobState.CANCELED) else BatchState.FAILED


def progress_of(batch: Batch) -> float:
    """How much of it is over, 0 to 1; a refused item is over, and a job that runs counts as far as it is."""
    going_on = sum(jobs for state, jobs in batch.states.items() if not state.terminal)
    return min(max((batch.total - going_on + batch.running) / batch.total, 0.0), 1.0)


async def open_batch(tx: Tx, batch: NewBatch) -> None:
    """Write the batch, in the transaction that writes its jobs."""
    await batches.insert(tx, batch)


async def read(tx: Tx, account_id: AccountId, batch_id: uuid.UUID) -> Batch:
    """The account's own. Raises BatchNotFound."""
    found = await batches.of_account(tx, account_id, batch_id)
    if found is None:
        raise BatchNotFound(f"There is no batch {batch_id}.")
    return found


async def listing(tx: Tx, account_id: AccountId, *, limit: int, cursor: str | None = None) -> Page:
    """The account's batches, `limit` at most. Raises InvalidCursor."""
    before = parse_uuid(cursor) if cursor else None
    if cursor and before is None:
        raise InvalidCursor("This cursor was not given by this API; start again without one.")
    found = await batches.page(tx, account_id, limit=limit + 1, before=before)
    shown = tuple(found[:limit])
    return Page(shown, str(shown[-1].id) if len(found) > limit else None)


async def items(
    tx: Tx, batch: Batch, *, start: int, limit: int
) -> tuple[Sequence[Item | RefusedItem], int | None]:
    """Those from place `start` on, in the order of the request, and where the next page begins (None: nowhere).

    Jobs that were deleted meanwhile are left out.
    """
    jobs = await batches.items(tx, batch.account_id, batch.id, start=start, limit=limit + 1)
    refused = [one for one in batch.refused if one.index >= start][: limit + 1]
    both: list[Item | RefusedItem] = [*jobs, *refused]
    found = sorted(both, key=lambda one: one.index)
    return found[:limit], found[limit].index if len(found) > limit else None


async def cancel(tx: Tx, account_id: AccountId, batch_id: uuid.UUID) -> list[JobId]:
    """Ask for the end of all that goes on; again changes nothing. Gives the jobs that were asked.

    Wake `job:<id>` of each, `account:<id>`, `cancel` and `results` after the commit. Raises BatchNotFound.
    """
    await read(tx, account_id, batch_id)
    return await batches.cancel(tx, account_id, batch_id)


async def ended(tx: Tx, batch_id: uuid.UUID) -> Batch | None:
    """The batch, if all its jobs have ended and this is the first transaction that is told so.

    Ask it behind every terminal event of one of its jobs, where what is told of it is written.
    """
    return await batches.any_account(tx, batch_id) if await batches.end(tx, batch_id) else None


_WAITING = (JobState.PREPARING, JobState.QUEUED, JobState.CLAIMED)
