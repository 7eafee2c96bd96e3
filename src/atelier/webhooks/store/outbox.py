"""Notes of what happened, written by a trigger with the event itself, taken away when they became messages."""

import uuid
from dataclasses import dataclass

from atelier.kit.database import Tx

PUT_OFF_SECONDS = 60
KEPT_DAYS = 2

_TAKE = """
SELECT id, job_id, seq FROM webhook_outbox WHERE not_before <= now()
ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED
"""

_FORGET = """
DELETE FROM webhook_outbox WHERE id = ANY(ARRAY(
    SELECT id FROM webhook_outbox WHERE created_at < now() - make_interval(days => %s) ORDER BY id LIMIT 1000))
"""


@dataclass(frozen=True, slots=True)
class Note:
    id: int
    job_id: uuid.UUID
    seq: int


async def take(tx: Tx) -> Note | None:
    """The oldest one that nobody else has in hand, until the end of the transaction."""
    row = await (await tx.execute(_TAKE)).fetchone()
    return Note(row[0], row[1], row[2]) if row else None


async def forget(tx: Tx, note: Note) -> None:
    await tx.execute("DELETE FROM webhook_outbox WHERE id = %s", (note.id,))


async def put_off(tx: Tx, note_id: int) -> None:
    """A note that cannot be read stands in nobody's way."""
    await tx.execute(
        "UPDATE webhook_outbox SET not_before = now() + make_interval(secs => %s) WHERE id = %s",
        (PUT_OFF_SECONDS, note_id),
    )


async def forget_unread(tx: Tx) -> int:
    """Notes that could not be read for days. Gives how many."""
    return (await tx.execute(_FORGET, (KEPT_DAYS,))).rowcount
