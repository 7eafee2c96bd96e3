"""Webhooks at the command line: where an account is told of its jobs, what it was told, and the same again."""

import asyncio
import uuid
from typing import Annotated, Any

from cyclopts import App, Parameter

from atelier.entry.commands import process
from atelier.entry.commands.keys import account_named
from atelier.entry.commands.opening import opened, transaction
from atelier.entry.commands.options import A_COUNT, AccountName, Script, State
from atelier.entry.commands.printing import as_json, print_line, rows
from atelier.entry.first_key import ACCOUNT
from atelier.entry.outward import outbound_of
from atelier.kit import clock
from atelier.kit.database import Database
from atelier.kit.errors import Refusal
from atelier.kit.ids import AccountId, parse_uuid
from atelier.webhooks import service
from atelier.webhooks.model import (
    Delivery,
    DeliveryId,
    DeliveryNotFound,
    Endpoint,
    EndpointId,
    Try,
    WebhookNotFound,
)
from atelier.webhooks.model import State as Fate

TEST_SECONDS = 30.0
"""How long a test may take, with the time until those who send look for it."""

webhooks = App(name="webhooks")

Webhook = Annotated[str, Parameter(help="The webhook's id, as `webhooks list` shows it.")]


@webhooks.command(name="list")
def list_webhooks(*, account: AccountName = ACCOUNT, script: Script = False, state: State = None) -> None:
    """List the account's webhooks, and why one was switched off."""

    async def show() -> None:
        async with transaction(state) as tx:
            found = await service.listing(tx, await account_named(tx, account))
        rows([_row(each) for each in found], script=script, nothing="Nobody is told: atelier webhooks add URL")

    process.run(show())


@webhooks.command
def add(
    url: Annotated[str, Parameter(help="Where messages are posted to.")],
    /,
    *,
    event: Annotated[tuple[str, ...], Parameter(help="Only this event; may be given several times.")] = (),
    description: Annotated[str, Parameter(help="A few words to know it by.")] = "",
    account: AccountName = ACCOUNT,
    script: Script = False,
    state: State = None,
) -> None:
    """Tell an address from now on, and print the secret that signs, this once."""

    async def make() -> None:
        async with opened(state) as (settings, found), found.transaction() as tx:
            owner = await account_named(tx, account)
            made = await service.create(
                tx, outbound_of(settings), owner, url, events=event, description=description
            )
        if script:
            as_json(_row(made) | {"secret": made.secret})
        else:
            print_line(f"{made.id}\n{made.secret}")

    process.run(make())


@webhooks.command
def remove(webhook: Webhook, /, *, account: AccountName = ACCOUNT, state: State = None) -> None:
    """Tell it nothing more, and forget what it was told."""

    async def away() -> None:
        async with transaction(state) as tx:
            await service.remove(tx, await account_named(tx, account), _endpoint(webhook))
        print_line(f"{webhook} is told nothing more")

    process.run(away())


@webhooks.command
def deliveries(
    webhook: Annotated[str | None, Parameter(help="Only what this one was told.")] = None,
    /,
    *,
    fate: Annotated[Fate | None, Parameter(help="Only those that are pending, delivered or failed.")] = None,
    limit: Annotated[int, Parameter(help="How many of the newest.", validator=A_COUNT)] = 20,
    account: AccountName = ACCOUNT,
    script: Script = False,
    state: State = None,
) -> None:
    """List what the account was told in thirty days, newest first."""

    async def show() -> None:
        endpoint_id = _endpoint(webhook) if webhook else None
        async with transaction(state) as tx:
            owner = await account_named(tx, account)
            page = await service.history(tx, owner, limit=limit, state=fate, endpoint_id=endpoint_id)
        shown = [_delivery_row(each) if script else _line(each) for each in page.deliveries]
        rows(shown, script=script, nothing="Nothing was told.")

    process.run(show())


@webhooks.command
def replay(
    delivery: Annotated[str, Parameter(help="The delivery's id, as `webhooks deliveries` shows it.")],
    /,
    *,
    account: AccountName = ACCOUNT,
    script: Script = False,
    state: State = None,
) -> None:
    """Tell it again under the same webhook-id; `webhooks deliveries` shows how that goes."""

    async def again() -> None:
        found = parse_uuid(delivery)
        if found is None:
            raise DeliveryNotFound(f"{delivery!r} is no delivery: atelier webhooks deliveries lists them")
        async with transaction(state) as tx:
            told = await service.replay(tx, await account_named(tx, account), DeliveryId(found))
        as_json(_delivery_row(told)) if script else print_line(f"{told.event} is told again to {told.url}")

    process.run(again())


@webhooks.command(name="test")
def ping(
    webhook: Webhook, /, *, account: AccountName = ACCOUNT, script: Script = False, state: State = None
) -> None:
    """Send it `webhook.test` as jobs' messages are sent, and print what it answered."""

    async def send() -> None:
        async with opened(state) as (_, found):
            async with found.transaction() as tx:
                owner = await account_named(tx, account)
                sent = await service.test(tx, owner, _endpoint(webhook))
            told = await _until_told(found, owner, sent.id)
        if script:
            as_json(_delivery_row(told))
        elif told.state is Fate.DELIVERED:
            print_line(_how(told.last))
        if told.state is not Fate.DELIVERED:
            raise Refusal(f"{told.url}: {_how(told.last)}")

    process.run(send())


async def _until_told(database: Database, owner: AccountId, delivery_id: DeliveryId) -> Delivery:
    """Raises Refusal when nobody sends it."""
    until = clock.monotonic() + TEST_SECONDS
    while clock.monotonic() < until:
        async with database.transaction() as tx:
            told = (await service.delivery(tx, owner, delivery_id)).delivery
        if told.state is not Fate.PENDING:
            return told
        await asyncio.sleep(0.2)
    raise Refusal(
        f"nobody has sent it within {TEST_SECONDS:.0f} s: messages are sent by `atelier up` and `atelier tasks`"
    )


def _endpoint(text: str) -> EndpointId:
    found: uuid.UUID | None = parse_uuid(text)
    if found is None:
        raise WebhookNotFound(f"{text!r} is no webhook: atelier webhooks list shows them")
    return EndpointId(found)


def _row(endpoint: Endpoint) -> dict[str, Any]:
    return {
        "id": str(endpoint.id),
        "url": endpoint.url,
        "events": [str(event) for event in endpoint.events],
        "description": endpoint.description,
        "enabled": endpoint.enabled,
        "why_disabled": endpoint.why_disabled,
        "failing_since": endpoint.failing_since,
        "created": endpoint.created_at,
    }


def _delivery_row(told: Delivery) -> dict[str, Any]:
    return {
        "id": str(told.id),
        "event": str(told.event),
        "about": str(told.about),
        "url": told.url,
        "state": str(told.state),
        "tries": told.tries,
        "next_try": told.next_at,
        "created": told.created_at,
        "answer": told.last.status if told.last else None,
        "error": told.last.error if told.last else "",
        "said": told.last.said if told.last else "",
    }


def _line(told: Delivery) -> dict[str, Any]:
    """Beside the ids there is little room."""
    row = _delivery_row(told)
    return {name: row[name] for name in ("id", "event", "url", "state", "tries", "next_try", "created")} | {
        "last": _how(told.last)
    }


def _how(last: Try | None) -> str:
    if last is None:
        return ""
    return last.error or f"{last.status} after {last.seconds:.1f} s"
