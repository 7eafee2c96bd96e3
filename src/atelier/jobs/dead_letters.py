"""Jobs that were given up: listed with their evidence, until each is replayed or discarded, once."""

from collections.abc import Sequence
from dataclasses import dataclass

from atelier.jobs.service import InvalidCursor
from atelier.jobs.store import dead_letters
from atelier.jobs.store.dead_letters import Letter
from atelier.kit.database import Tx
from atelier.kit.errors import Kind, NotFound, Refusal
from atelier.kit.ids import AccountId, JobId, parse_uuid


class LetterNotFound(NotFound):
    code = "dead_letter_not_found"


class LetterSettled(Refusal):
    """Somebody discarded it."""

    kind = Kind.CONFLICT
    code = "dead_letter_settled"


@dataclass(frozen=True, slots=True)
class Letters:
    """A page, newest first. `next_cursor` is None on the last one; `total` counts all that are open."""

    letters: tuple[Letter, ...]
    next_cursor: str | None
    total: int


async def page(
    tx: Tx, account_id: AccountId | None, *, limit: int, cursor: str | None = None, code: str | None = None
) -> Letters:
    """Open ones of an account (None: of all). Raises InvalidCursor."""
    after = parse_uuid(cursor) if cursor else None
    if cursor and after is None:
        raise InvalidCursor("This cursor was not given by this API; start again without one.")
    found = await dead_letters.page(tx, account_id, limit=limit + 1, after=after, code=code)
    shown = tuple(found[:limit])
    total = await dead_letters.count(tx, account_id, code)
    return Letters(shown, str(shown[-1].job_id) if len(found) > limit else None, total)


async def read(tx: Tx, account_id: AccountId | None, job_id: JobId) -> Letter:
    """The account's own (None: anybody's), settled or not. Raises LetterNotFound."""
    found = await dead_letters.letter(tx, account_id, job_id)
    if found is None:
        raise LetterNotFound(f"There is no dead letter {job_id}.")
    return found


async def discard(tx: Tx, account_id: AccountId | None, job_id: JobId) -> None:
    """Settle it without a new job; again changes nothing. Raises LetterNotFound, LetterSettled."""
    found = await read(tx, account_id, job_id)
    if not await dead_letters.discard(tx, account_id, ids=[job_id]) and found.replayed_as:
        raise LetterSettled(f"It was replayed already, as job {found.replayed_as}.")


async def discard_many(
    tx: Tx, account_id: AccountId | None, *, ids: Sequence[JobId] | None, code: str | None = None
) -> int:
    """Settle open ones: those named, or (None) all, of this code where one is given. Gives how many."""
    return await dead_letters.discard(tx, account_id, ids=ids, code=code)


async def claim(tx: Tx, job_id: JobId) -> JobId | None:
    """Lock an open one for a replay: None. What it was replayed as where somebody was quicker.

    Raises LetterSettled.
    """
    replayed_as, is_open = await dead_letters.lock(tx, job_id)
    if not is_open and replayed_as is None:
        raise LetterSettled("It was discarded: retry its job instead.")
    return replayed_as


async def settle(tx: Tx, job_id: JobId, new_id: JobId) -> None:
    """That job runs in its place; in the transaction that made it and that claimed the letter."""
    await dead_letters.replayed(tx, job_id, new_id)
