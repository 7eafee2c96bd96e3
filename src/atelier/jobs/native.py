"""What the native API may ask of an account's jobs. It takes a transaction and never commits it.

All jobs of an account are prompts here, whatever dialect they came by. An id that is foreign, unknown or malformed
names nothing.
"""

from collections.abc import Collection, Sequence

from atelier.jobs.model import JobState, Output
from atelier.jobs.service import DuplicatePrompt
from atelier.jobs.store import native as store
from atelier.jobs.store import reads
from atelier.jobs.store.native import HISTORY, Entry, Live, Wanted
from atelier.kit.database import Tx
from atelier.kit.ids import AccountId, JobId

__all__ = [
    "HISTORY",
    "DuplicatePrompt",
    "Entry",
    "Live",
    "broken_off",
    "drop",
    "ended",
    "entry",
    "forget",
    "history",
    "interrupt",
    "listing",
    "live",
    "news",
    "outputs_at",
    "queue",
    "remaining",
]

MOST_LISTED = 1000
MOST_SKIPPED = 1_000_000
"""No account has a longer list."""

STATES = {
    "pending": frozenset({JobState.PREPARING, JobState.QUEUED, JobState.CLAIMED}),
    "in_progress": frozenset({JobState.RUNNING, JobState.CANCELING}),
    "completed": frozenset({JobState.SUCCEEDED}),
    "failed": frozenset({JobState.FAILED, JobState.EXPIRED}),
    "cancelled": frozenset({JobState.CANCELED}),
}
"""The words of /api/jobs (wire contract 6), and what is stored for them."""


async def remaining(tx: Tx, account_id: AccountId) -> int:
    """How many of the account's jobs wait or run."""
    return await store.remaining(tx, account_id)


async def queue(tx: Tx, account_id: AccountId, *, limit: int = 1000) -> tuple[list[Entry], list[Entry]]:
    """What runs, and what waits in the order in which it will run: both with graphs.

    `limit` (1000 at most) is for those that wait. What a server holds and has not begun waits.
    """
    return await store.queue(tx, account_id, limit)


async def history(
    tx: Tx, account_id: AccountId, *, max_items: int | None, offset: int | None, cap: int = MOST_LISTED
) -> list[Entry]:
    """What ended, oldest first, with graphs and reports; `cap` at most: the newest, or those from `offset` on.

    Without an offset, or with a negative one, the last `max_items`. With one, `max_items` from there on, at least
    one: so a server does it (execution.PromptQueue.get_history). It goes back to the newest `HISTORY` jobs.
    """
    if offset is None or offset < 0:
        most = cap if max_items is None else min(max(max_items, 0), cap)
        return await store.newest(tx, account_id, most)
    limit = cap if max_items is None else min(max(max_items, 1), cap)
    return await store.from_oldest(tx, account_id, offset, limit)


async def entry(tx: Tx, account_id: AccountId, prompt_id: str, *, graph: bool = True) -> Entry | None:
    """The account's prompt of this id, in whatever state; see `Entry.in_history`. One indexed read."""
    return await store.entry(tx, account_id, prompt_id, graph=graph)


async def listing(  # noqa: PLR0913 - each is one parameter of the route
    tx: Tx,
    account_id: AccountId,
    *,
    statuses: frozenset[str] | None,
    by_duration: bool,
    ascending: bool,
    limit: int | None,
    offset: int,
    workflow_id: str | None,
) -> tuple[list[Entry], int]:
    """What waits, runs and is in the history, without graphs, and how many fit in all.

    Of what came with a graph only the workflow's id is read.

    `statuses` are keys of `STATES` (None: all). By the time of submitting, else by how long they ran. A page has
    `limit` jobs, 1000 at most.
    """
    states = frozenset[JobState]().union(*(STATES[status] for status in (statuses or STATES)))
    wanted = Wanted(states, workflow_id, by_duration, ascending)
    page = MOST_LISTED if limit is None else min(limit, MOST_LISTED)
    return await store.listing(tx, account_id, wanted, offset=min(max(offset, 0), MOST_SKIPPED), limit=page)


async def live(tx: Tx, account_id: AccountId) -> list[Live]:
    """The jobs of the native API that have not ended, in the order of submitting; 10,000 per class at most."""
    return await store.live(tx, account_id)


async def ended(tx: Tx, account_id: AccountId, job_ids: Collection[JobId]) -> list[Entry]:
    """Those of these jobs that have ended, in that order, with reports, without graphs."""
    return await store.ended(tx, account_id, job_ids)


async def news(
    tx: Tx, account_id: AccountId, *, seconds: float, told: Collection[JobId]
) -> tuple[int, list[Entry]]:
    """How many jobs are left, and what ended within these seconds but is not `told` yet, oldest first: one read.

    Of the newest 1000 only those of the native API, with reports, without graphs.
    """
    return await store.news(tx, account_id, seconds, told)


async def forget(tx: Tx, account_id: AccountId, prompt_ids: Sequence[str] | None) -> None:
    """Take prompts that have ended out of the history, or (None) all; other dialects still show them."""
    if prompt_ids is None:
        await store.clear(tx, account_id)
    else:
        await store.forget(tx, account_id, prompt_ids)


async def interrupt(tx: Tx, account_id: AccountId, prompt_id: str | None) -> list[JobId]:
    """Ask for the end of this prompt if it runs, or (None) of all that run. Gives the jobs that were asked.

    Wake `job:<id>`, `cancel` and `account:<id>` after the commit.
    """
    return await store.interrupt(tx, account_id, prompt_id)


async def broken_off(tx: Tx, job_ids: Collection[JobId]) -> dict[JobId, bool | None]:
    """Whether these jobs were stopped at their server; False: they were over there already, None: it is not known.

    The caller has checked whose jobs they are.
    """
    return await store.broken_off(tx, job_ids)


async def drop(tx: Tx, account_id: AccountId, prompt_ids: Sequence[str] | None) -> list[JobId]:
    """Cancel these prompts if they wait, or (None) all that wait; nothing is left of them in the history.

    One that a server holds already is taken back from it. Gives the jobs; wake as for `interrupt`.
    """
    return await store.drop(tx, account_id, prompt_ids)


async def outputs_at(tx: Tx, account_id: AccountId, position: int) -> list[Output]:
    """The files of the account's job of this position, which stands in their shown names."""
    job = await reads.at_position(tx, account_id, position)
    return list(job.outputs) if job else []
