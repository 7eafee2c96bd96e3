"""Messages at will, and what became of them: what tests of webhooks need, on a real database."""

import asyncio
import contextlib
import datetime as dt
import functools
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from atelier.accounts import service as accounts
from atelier.kit import clock
from atelier.kit.background import background
from atelier.kit.database import Database
from atelier.kit.http.outbound import Outbound
from atelier.kit.http.public_addresses import parse_networks
from atelier.kit.ids import AccountId, new_uuid
from atelier.kit.wakeups import Wakeups
from atelier.webhooks import rules, service
from atelier.webhooks.delivering import Bounds, Delivering
from atelier.webhooks.model import DeliveryId, Endpoint, Event, Message, State
from atelier.webhooks.service import Whole
from atelier.webhooks.store import deliveries

INSTALLATION = b"installation"
SECONDS = 60.0
USUAL = Bounds()


def loopback_outbound() -> Outbound:
    return Outbound(user_agent="Test/1", allowed=parse_networks(("127.0.0.1",)))


@dataclass(slots=True)
class Office:
    database: Database
    account_id: AccountId
    wakeups: Wakeups
    outbound: Outbound

    async def endpoint(self, url: str, **given: Any) -> Endpoint:
        async with self.database.transaction() as tx:
            return await service.create(tx, self.outbound, self.account_id, url, **given)

    async def read(self, endpoint: Endpoint) -> Endpoint:
        async with self.database.transaction() as tx:
            return await service.read(tx, self.account_id, endpoint.id)

    async def message(self, endpoint: Endpoint, event: Event = Event.SUCCEEDED, **data: Any) -> DeliveryId:
        """Something that the endpoint is to be told, due now."""
        message = service.message_to(endpoint, event, new_uuid(), service.spelled(event, clock.utcnow(), data))
        return await self._insert(message)

    async def message_to_asked(self, url: str, secret: str | None = None) -> DeliveryId:
        """Something that was asked for with its request."""
        body = service.spelled(Event.FAILED, clock.utcnow(), {})
        return await self._insert(
            Message(DeliveryId(new_uuid()), self.account_id, None, url, Event.FAILED, new_uuid(), body, secret)
        )

    async def whole(self, delivery_id: DeliveryId) -> Whole:
        async with self.database.transaction() as tx:
            return await service.delivery(tx, self.account_id, delivery_id)

    async def state(self, delivery_id: DeliveryId) -> State:
        return (await self.whole(delivery_id)).delivery.state

    async def until_tried(self, delivery_id: DeliveryId, tries: int = 1) -> Whole:
        """Wait until so many tries stand in the log."""

        async def enough() -> bool:
            return len((await self.whole(delivery_id)).tries) >= tries

        await until(enough)
        return await self.whole(delivery_id)

    async def make_due(self, delivery_id: DeliveryId) -> None:
        """The pause before the next try is over."""
        await self.run(
            "UPDATE webhook_deliveries SET next_at = now() WHERE id = %s AND state = 'pending'", delivery_id
        )
        self.wakeups.publish(service.TOPIC)

    async def pause(self, delivery_id: DeliveryId) -> dt.timedelta:
        """From the last try to the next."""
        [(pause,)] = await self.rows(
            "SELECT next_at - (SELECT max(created_at) FROM webhook_tries WHERE delivery_id = d.id)"
            " FROM webhook_deliveries d WHERE id = %s",
            delivery_id,
        )
        found: dt.timedelta = pause
        return found

    async def run(self, statement: str, *values: object) -> None:
        async with self.database.autocommit() as tx:
            await tx.execute(statement.encode(), values)

    async def rows(self, question: str, *values: object) -> list[tuple[Any, ...]]:
        async with self.database.autocommit() as tx:
            return await (await tx.execute(question.encode(), values)).fetchall()

    def delivering(self, bounds: Bounds = USUAL) -> Delivering:
        secret = functools.partial(rules.account_secret, INSTALLATION)
        return Delivering(self.database, self.wakeups, self.outbound, secret, bounds)

    @contextlib.asynccontextmanager
    async def sending(self, bounds: Bounds = USUAL) -> AsyncGenerator[None]:
        """Messages are sent while the context is open."""
        async with background() as work:
            work.start(self.delivering(bounds).run())
            yield

    async def _insert(self, message: Message) -> DeliveryId:
        async with self.database.transaction() as tx:
            assert await deliveries.insert(tx, [message]) == 1
        self.wakeups.publish(service.TOPIC)
        return message.id


async def make_office(database: Database) -> Office:
    async with database.transaction() as tx:
        account = await accounts.ensure_account(tx, "told")
    return Office(database, account.id, Wakeups(database), loopback_outbound())


async def until(true: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(SECONDS):
        while not await true():  # noqa: ASYNC110 - a row has no event
            await asyncio.sleep(0.02)
