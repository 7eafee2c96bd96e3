"""An operator's wish that servers give back memory is a mark on each of them, taken away by whoever obeyed it."""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass

from atelier.kit.database import Tx
from atelier.kit.ids import DispatcherId, ServerId


@dataclass(frozen=True, slots=True)
class FreeAsked:
    """What one server shall do when it is idle: unload its models, forget what it has computed."""

    server_id: ServerId
    fence: int
    asked_at: dt.datetime
    unload_models: bool
    free_memory: bool


_ASK = """
WITH asked AS (
    UPDATE servers SET free_asked_at = clock_timestamp(), free_models = free_models OR %(models)s,
                       free_memory = free_memory OR %(memory)s
    WHERE enabled AND removed_at IS NULL RETURNING id
)
INSERT INTO server_events (server_id, kind, data)
SELECT id, 'free_asked', jsonb_build_object('unload_models', %(models)s, 'free_memory', %(memory)s) FROM asked
"""

# A wish that came meanwhile stays.
_DONE = """
WITH done AS (
    UPDATE servers s SET free_asked_at = NULL, free_models = false, free_memory = false
    FROM leases l WHERE s.id = %(id)s AND l.server_id = s.id AND l.fence = %(fence)s AND s.free_asked_at = %(at)s
    RETURNING s.id
)
INSERT INTO server_events (server_id, kind, data)
SELECT id, 'freed', jsonb_build_object('unload_models', %(models)s::boolean, 'free_memory', %(memory)s::boolean)
FROM done RETURNING server_id
"""


async def ask(tx: Tx, *, unload_models: bool, free_memory: bool) -> None:
    """Mark every server that is in use. Marks add up until they are obeyed."""
    await tx.execute(_ASK, {"models": unload_models, "memory": free_memory})


async def asked(tx: Tx, me: DispatcherId) -> Sequence[FreeAsked]:
    """The marks on the servers that this dispatcher drives."""
    rows = await tx.execute(
        """SELECT s.id, l.fence, s.free_asked_at, s.free_models, s.free_memory
           FROM leases l JOIN servers s ON s.id = l.server_id
           WHERE l.dispatcher_id = %s AND s.free_asked_at IS NOT NULL ORDER BY s.id""",
        (me,),
    )
    return [FreeAsked(*row) for row in await rows.fetchall()]


async def done(tx: Tx, wish: FreeAsked) -> bool:
    """It was obeyed. False when somebody asked again meanwhile, or the server is not ours any more."""
    rows = await tx.execute(
        _DONE,
        {
            "id": wish.server_id,
            "fence": wish.fence,
            "at": wish.asked_at,
            "models": wish.unload_models,
            "memory": wish.free_memory,
        },
    )
    return await rows.fetchone() is not None
