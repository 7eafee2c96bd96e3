"""Notes of what happened become messages: one for each endpoint that wants it and each address that was asked for.

A note is taken away in the transaction that writes its messages, so that each is written once, whoever dies.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import structlog

from atelier.kit.database import AWAY, Database, Tx
from atelier.kit.ids import new_uuid
from atelier.kit.wakeups import Wakeups
from atelier.webhooks import rules, service
from atelier.webhooks.model import Asked, DeliveryId, Happening, Message, Source
from atelier.webhooks.store import deliveries, endpoints, outbox

POLL_SECONDS = 1.0

_log = structlog.get_logger(__name__)


@dataclass(slots=True)
class Telling:
    """Any number of processes may do it at once."""

    database: Database
    wakeups: Wakeups
    source: Source
    _hopeless: int | None = field(default=None, init=False)

    async def run(self) -> None:
        """Until cancelled; PostgreSQL may go away meanwhile."""
        while True:
            more = False
            try:
                more = await self.step()
            except AWAY as error:
                _log.info("webhooks.telling_put_off", reason=str(error))
            if not more:
                await asyncio.sleep(POLL_SECONDS)

    async def step(self) -> bool:
        """One note. False: there is none."""
        try:
            async with self.database.transaction() as tx:
                note = await outbox.take(tx)
                if note is None:
                    return False
                self._hopeless = note.id
                written = await self._tell(tx, note)
        except AWAY:
            raise
        except Exception:  # noqa: BLE001 - one note that cannot be read must not stop all others
            _log.exception("webhooks.note_unreadable", note=self._hopeless)
            await self._put_off()
            return True
        if written:
            self.wakeups.publish(service.TOPIC)
        return True

    async def _tell(self, tx: Tx, note: outbox.Note) -> int:
        written = 0
        for happening in await self.source.happened(tx, note.job_id, note.seq):
            messages = await self._messages(tx, happening)
            written += await deliveries.insert(tx, messages) if messages else 0
        await outbox.forget(tx, note)
        return written

    async def _messages(self, tx: Tx, happening: Happening) -> list[Message]:
        own = await endpoints.of_account(tx, happening.account_id)
        wanting = [each for each in own if each.enabled and rules.wants(each.events, happening.event)]
        if not wanting and not happening.asked:
            return []
        data: Mapping[str, Any] = await self.source.data(tx, happening)
        body = service.spelled(happening.event, happening.at, data)
        told = [service.message_to(each, happening.event, happening.about, body) for each in wanting]
        return told + [_to_asked(asked, happening, body) for asked in happening.asked]

    async def _put_off(self) -> None:
        if self._hopeless is not None:
            async with self.database.transaction() as tx:
                await outbox.put_off(tx, self._hopeless)


def _to_asked(asked: Asked, happening: Happening, body: str) -> Message:
    return Message(
        id=DeliveryId(new_uuid()),
        account_id=happening.account_id,
        endpoint_id=None,
        url=asked.url,
        event=happening.event,
        about=happening.about,
        body=body,
        secret=asked.secret,
    )
