"""Messages that are due are sent: many at once, few to one address, and a slow address holds up its own alone.

Each is taken for a while before it is sent. Who dies between sending and writing that down has it sent again after
that while, under the same id: at least once, never not at all.
"""

import datetime as dt
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import structlog

from atelier.kit import clock
from atelier.kit.background import Background, background
from atelier.kit.database import AWAY, Database, Tx
from atelier.kit.errors import Refusal
from atelier.kit.http.outbound import Outbound
from atelier.kit.ids import AccountId
from atelier.kit.wakeups import Subscription, Wakeups
from atelier.webhooks import rules, service
from atelier.webhooks.model import Due, Endpoint, Event, Try
from atelier.webhooks.store import deliveries, endpoints

SEND_SECONDS = 15.0
POLL_SECONDS = 1.0

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Bounds:
    """What one process has in hand at once, and for how long a message is its own (longer than SEND_SECONDS)."""

    most: int = 64
    per_account: int = 16
    per_url: int = 4
    lease: dt.timedelta = dt.timedelta(seconds=45)


@dataclass(slots=True)
class Delivering:
    """Any number of processes may do it at once. `account_secret` signs where nothing else is given."""

    database: Database
    wakeups: Wakeups
    outbound: Outbound
    account_secret: Callable[[AccountId], str]
    bounds: Bounds = field(default_factory=Bounds)
    _urls: Counter[str] = field(default_factory=Counter[str], init=False)
    _accounts: Counter[AccountId] = field(default_factory=Counter[AccountId], init=False)
    _room: Subscription = field(default_factory=Subscription, init=False)

    async def run(self) -> None:
        """Until cancelled; PostgreSQL may go away meanwhile. What is being sent then is sent again by others."""
        with self.wakeups.subscribe(service.TOPIC) as self._room:
            async with background() as work:
                while True:
                    if not await self._round(work):
                        await self._room.wait(POLL_SECONDS)

    async def _round(self, work: Background) -> bool:
        """Take what is due, as far as there is room. True: there may be more, and room for it."""
        room = self.bounds.most - self._accounts.total()
        if not room:
            return False
        try:
            taken = await self._take(room)
        except AWAY as error:
            _log.info("webhooks.sending_put_off", reason=str(error))
            return False
        for due in taken:
            self._urls[due.url] += 1
            self._accounts[due.account_id] += 1
            work.start(self._deliver(due))
        return 0 < len(taken) < room

    async def _take(self, room: int) -> list[Due]:
        bounds = self.bounds
        async with self.database.autocommit() as tx:
            return await deliveries.take(
                tx,
                most=room,
                per_url=bounds.per_url,
                per_account=bounds.per_account,
                lease=bounds.lease,
                busy_accounts=[who for who, count in self._accounts.items() if count >= bounds.per_account],
                busy_urls=[url for url, count in self._urls.items() if count >= bounds.per_url],
            )

    async def _deliver(self, due: Due) -> None:
        try:
            how = await self._sent(due)
            async with self.database.transaction() as tx:
                await settle(tx, due, how, chance=random.random())  # noqa: S311 - it only spreads
        except AWAY as error:
            _log.warning("webhooks.try_not_written", delivery=str(due.id), reason=str(error))
        finally:
            self._make_room(due)

    def _make_room(self, due: Due) -> None:
        """Whoever was left out for want of room is looked for again."""
        bounds = self.bounds
        if (
            self._urls[due.url] >= bounds.per_url
            or self._accounts[due.account_id] >= bounds.per_account
            or self._accounts.total() >= bounds.most
        ):
            self._room.wake()
        _less(self._urls, due.url)
        _less(self._accounts, due.account_id)

    async def _sent(self, due: Due) -> Try:
        """One POST; whatever goes wrong is how it went."""
        started = clock.monotonic()
        secrets = due.secrets or (self.account_secret(due.account_id),)
        body = due.body.encode()
        at = int(clock.utcnow().timestamp())
        headers = {
            "Content-Type": "application/json",
            "webhook-id": str(due.id),
            "webhook-timestamp": str(at),
            "webhook-signature": rules.signature(str(due.id), at, body, secrets),
        }
        try:
            answer = await self.outbound.post(due.url, body, headers, seconds=SEND_SECONDS)
        except Refusal as refusal:
            return Try(None, refusal.message, "", _since(started))
        except Exception:  # noqa: BLE001 - a message that breaks the sender must not stop all others
            _log.exception("webhooks.not_sent", delivery=str(due.id))
            return Try(None, "It could not be sent; our log says why.", "", _since(started))
        return Try(answer.status, "", answer.said, _since(started))


async def settle(tx: Tx, due: Due, how: Try, *, chance: float) -> None:
    """Write down a try and what it means for its message and endpoint; `chance` from 0 to 1 spreads retries."""
    endpoint = await endpoints.locked(tx, due.endpoint_id) if due.endpoint_id else None
    pause = None if how.good else rules.pause_after(due.tries + 1, how, due.event, chance)
    if not await deliveries.record(tx, due.id, how, pause) or endpoint is None:
        return
    if how.good:
        if endpoint.failing_since is not None:
            await endpoints.set_failing(tx, endpoint.id, failing=False)
    elif due.event is not Event.TEST:
        await _failed(tx, endpoint, how, last=pause is None)


async def _failed(tx: Tx, endpoint: Endpoint, how: Try, *, last: bool) -> None:
    if endpoint.failing_since is None:
        await endpoints.set_failing(tx, endpoint.id, failing=True)
    why = _why_disabled(endpoint, how, last=last)
    if why and endpoint.enabled:
        await endpoints.disable(tx, endpoint.id, why)
        await deliveries.give_up(tx, endpoint.id)
        _log.warning("webhooks.disabled", endpoint=str(endpoint.id), reason=why)


def _why_disabled(endpoint: Endpoint, how: Try, *, last: bool) -> str:
    """Empty: it is not."""
    if how.status == rules.GONE:
        return "It answered 410 Gone."
    if last and rules.gave_up_on(endpoint.failing_since, clock.utcnow()):
        said = how.error or f"it answered {how.status}"
        return f"Nothing has arrived for {rules.PATIENCE_DAYS} days; the last time: {said}"
    return ""


def _since(started: float) -> float:
    return round(clock.monotonic() - started, 3)


def _less(counter: Counter[Any], key: str | AccountId) -> None:
    """Without leaving a zero behind for each address ever used."""
    counter[key] -= 1
    if not counter[key]:
        del counter[key]
