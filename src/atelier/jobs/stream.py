"""Whoever follows an account is told every event of its jobs once, in order per job, also after a break.

A cursor is what its holder has seen: a snapshot of the database, and where it stopped within the next one. It is
given with every event, and it is good for as long as the event log goes back.
"""

import itertools
import re
import uuid
from collections.abc import Iterator
from dataclasses import dataclass

from atelier.jobs.service import InvalidCursor
from atelier.jobs.store import stream as store
from atelier.jobs.store.stream import Chosen, Happening, Key, Running, Standing
from atelier.kit import clock
from atelier.kit.database import Tx
from atelier.kit.ids import JobId

__all__ = ["Chosen", "Cursor", "Happening", "Reading", "Running", "Standing"]

PAGE = 500
"""Events of one reading."""

MOST_MISSED = 10_000
"""Who missed more had better ask how its jobs stand."""

KEPT_DAYS = 6
"""How old a cursor may be; the log itself goes back a day more."""

_LONGEST = 20_000
_NUMBER = r"(?:[1-9][0-9]{0,17})"
_SNAPSHOT = rf"{_NUMBER}-{_NUMBER}-(?:{_NUMBER}(?:\.{_NUMBER})*)?"
_CURSOR = re.compile(
    rf"1_(?P<at>{_NUMBER})_(?P<seen>{_SNAPSHOT})"
    rf"(?:_(?P<until>{_SNAPSHOT})_(?P<rank>{_NUMBER})_(?P<job>[0-9a-f]{{32}})_(?P<seq>[1-9][0-9]{{0,8}}))?",
    re.ASCII,
)


@dataclass(frozen=True, slots=True)
class Cursor:
    """All that `seen` saw was told; and of what `until` saw besides, all up to `after`.

    Both are snapshots as PostgreSQL writes them. `at`: when it was given, in Unix seconds.
    """

    at: int
    seen: str
    until: str | None = None
    after: Key | None = None

    def __str__(self) -> str:
        parts = ["1", str(self.at), _written(self.seen)]
        if self.until is not None and self.after is not None:
            parts += [_written(self.until), str(self.after.rank), self.after.job_id.hex, str(self.after.seq)]
        return "_".join(parts)

    @staticmethod
    def parse(text: str) -> "Cursor":
        """Raises InvalidCursor."""
        found = _CURSOR.fullmatch(text) if len(text) <= _LONGEST else None
        if found is None:
            raise _invalid()
        seen, at = _snapshot(found["seen"]), int(found["at"])
        if found["until"] is None:
            return Cursor(at, seen)
        after = Key(int(found["rank"]), JobId(uuid.UUID(found["job"])), int(found["seq"]))
        return Cursor(at, seen, _snapshot(found["until"]), after)


@dataclass(frozen=True, slots=True)
class Reading:
    """Some events, and the cursor behind them. `more` wait to be read at once."""

    events: tuple[Happening, ...]
    cursor: Cursor
    more: bool
    _seen: str
    _until: str

    def told(self) -> Iterator[tuple[Happening, Cursor]]:
        """Each event with the cursor of whoever has been told it."""
        for number, event in enumerate(self.events, 1):
            last = number == len(self.events)
            yield event, self.cursor if last else Cursor(self.cursor.at, self._seen, self._until, event.key)


async def now(tx: Tx) -> Cursor:
    """Of one who wants to be told what happens from here on."""
    return Cursor(_seconds(), await store.snapshot(tx))


async def resumable(tx: Tx, chosen: Chosen, cursor: Cursor) -> bool:
    """False: too much happened since, too long ago, or it is another database's; `now` is where to begin."""
    if cursor.at < _seconds() - KEPT_DAYS * 86_400:
        return False
    missed = await store.backlog(tx, chosen, cursor.seen, MOST_MISSED + 1)
    return missed is not None and missed <= MOST_MISSED


async def read(tx: Tx, chosen: Chosen, cursor: Cursor) -> Reading:
    """What happened behind the cursor: a page of it."""
    until, found = await store.read(
        tx, chosen, cursor.seen, until=cursor.until, after=cursor.after, limit=PAGE + 1
    )
    events, more = tuple(found[:PAGE]), len(found) > PAGE
    at = _seconds()
    behind = Cursor(at, cursor.seen, until, events[-1].key) if more else Cursor(at, until)
    return Reading(events, behind, more or cursor.until is not None, cursor.seen, until)


async def running(tx: Tx, chosen: Chosen) -> list[Running]:
    """Jobs that servers have, with their progress."""
    return await store.running(tx, chosen)


async def standing(tx: Tx, batch_ids: set[uuid.UUID]) -> list[Standing]:
    """How these batches stand; the caller was told of their jobs."""
    return await store.standing(tx, batch_ids) if batch_ids else []


def _written(snapshot: str) -> str:
    return snapshot.replace(":", "-").replace(",", ".")


def _snapshot(text: str) -> str:
    """As PostgreSQL reads it. Raises InvalidCursor for what would be none."""
    low, high, between = text.split("-")
    open_ones = [int(one) for one in between.split(".") if one]
    rising = all(one < other for one, other in itertools.pairwise(open_ones))
    if int(low) > int(high) or not rising or not all(int(low) <= one < int(high) for one in open_ones):
        raise _invalid()
    return text.replace("-", ":").replace(".", ",")


def _invalid() -> InvalidCursor:
    return InvalidCursor("This cursor was not given by this API; connect without one.")


def _seconds() -> int:
    return int(clock.utcnow().timestamp())
