"""Webhooks over HTTP: where an account is told, what it was told, and the same again. All of them are its own."""

from typing import Annotated, Any, Self

from fastapi import APIRouter, Path
from pydantic import Field, model_validator
from starlette.requests import Request
from starlette.responses import Response

from atelier.dialects import asked
from atelier.dialects.auth import Call, Known
from atelier.dialects.openapi import answer, json_body, refusals
from atelier.dialects.places import WEBHOOK
from atelier.dialects.problems import ErrorEnvelope
from atelier.dialects.webhooks_wire import (
    DeliveryDetails,
    DeliveryList,
    DeliveryShown,
    SecretShown,
    WebhookList,
    WebhookMade,
    WebhookShown,
    delivery_shown,
    endpoint_made,
    endpoint_shown,
    page_shown,
    whole_shown,
)
from atelier.kit.http.answers import json_response
from atelier.kit.ids import parse_uuid
from atelier.webhooks import rules
from atelier.webhooks import service as webhooks
from atelier.webhooks.model import DeliveryId, DeliveryNotFound, EndpointId, State, WebhookNotFound

router = APIRouter(prefix="/api/v1", tags=["webhooks"])

IdText = Annotated[str, Path(json_schema_extra={"format": "uuid"})]

Url = Annotated[str, Field(max_length=2048)]
Description = Annotated[str, Field(max_length=rules.MOST_DESCRIPTION)]
Events = Annotated[
    list[Annotated[str, Field(json_schema_extra={"enum": list(rules.CHOICES)})]],
    Field(max_length=len(rules.CHOICES), description="Empty: all that end a job or a batch."),
]

_LISTING: dict[str, Any] = {
    "parameters": [
        asked.LIMIT,
        {"name": "cursor", "in": "query", "schema": {"type": "string", "pattern": "^[0-9a-f-]{0,36}$"}},
        {"name": "state", "in": "query", "schema": {"type": "string", "enum": list(State)}},
    ]
}


class NewWebhook(asked.Closed):
    """`secret`: `whsec_` and base64 of 24 to 64 bytes; leave it out to be given one."""

    url: Url = Field(examples=["https://example.com/atelier"])
    events: Events = Field(default=[])
    description: Description = ""
    secret: str | None = Field(default=None, max_length=200)


class WebhookChange(asked.Closed):
    """What is absent stays as it is. Switched off, it gives up what it was still to be told."""

    url: Url = Field(default="", examples=["https://example.com/atelier"])
    events: Events = Field(default=[])
    description: Description = ""
    enabled: bool = True

    @model_validator(mode="after")
    def _something(self) -> Self:
        if not self.model_fields_set:
            raise ValueError("name at least one thing to change")
        return self


@router.get("/webhooks", responses=answer(200, WebhookList) | refusals(ErrorEnvelope))
async def list_webhooks(call: Known) -> Response:
    """All of the account's, oldest first."""
    async with call.services.database.autocommit() as tx:
        found = await webhooks.listing(tx, call.caller.account_id)
    return json_response({"webhooks": [endpoint_shown(each) for each in found]})


@router.post(
    "/webhooks",
    status_code=201,
    responses=answer(201, WebhookMade) | refusals(ErrorEnvelope, 400, 409, 413, 422),
    openapi_extra=json_body(NewWebhook),
)
async def add_webhook(request: Request, call: Known) -> Response:
    """Tell this address from now on. The answer shows the secret that signs, this once."""
    new = await asked.read(request, NewWebhook)
    async with call.services.database.transaction() as tx:
        made = await webhooks.create(
            tx,
            call.services.outbound,
            call.caller.account_id,
            new.url,
            events=new.events,
            description=new.description,
            secret=new.secret,
        )
    return json_response(endpoint_made(made), 201, {"Location": f"{call.base}/api/v1/webhooks/{made.id}"})


@router.get("/webhooks/secret", responses=answer(200, SecretShown) | refusals(ErrorEnvelope))
async def get_account_secret(call: Known) -> Response:
    """What signs messages to addresses that come with a request and bring no secret of their own."""
    return json_response({"secret": rules.account_secret(call.services.links.secret, call.caller.account_id)})


@router.get(
    "/webhooks/deliveries",
    responses=answer(200, DeliveryList) | refusals(ErrorEnvelope, 400),
    openapi_extra=_LISTING,
)
async def list_all_deliveries(request: Request, call: Known) -> Response:
    """All that the account was told in thirty days, newest first, also at addresses that came with requests."""
    return await _history(request, call, None)


@router.get(
    "/webhooks/deliveries/{delivery_id}",
    responses=answer(200, DeliveryDetails) | refusals(ErrorEnvelope, 404),
)
async def get_delivery(delivery_id: IdText, call: Known) -> Response:
    """One message with its body and every try."""
    async with call.services.database.transaction() as tx:
        whole = await webhooks.delivery(tx, call.caller.account_id, _delivery(delivery_id))
    return json_response(whole_shown(whole))


@router.post(
    "/webhooks/deliveries/{delivery_id}/replay",
    status_code=202,
    responses=answer(202, DeliveryShown) | refusals(ErrorEnvelope, 404),
)
async def replay_delivery(delivery_id: IdText, call: Known) -> Response:
    """Tell it again under the same webhook-id, now, and if need be with all tries."""
    async with call.services.database.transaction() as tx:
        again = await webhooks.replay(tx, call.caller.account_id, _delivery(delivery_id))
    call.services.wakeups.publish(webhooks.TOPIC)
    return json_response(delivery_shown(again), 202)


@router.get(WEBHOOK, responses=answer(200, WebhookShown) | refusals(ErrorEnvelope, 404))
async def get_webhook(webhook_id: IdText, call: Known) -> Response:
    """One, and why it was switched off if it was."""
    async with call.services.database.autocommit() as tx:
        found = await webhooks.read(tx, call.caller.account_id, _id(webhook_id))
    return json_response(endpoint_shown(found))


@router.patch(
    WEBHOOK,
    responses=answer(200, WebhookShown) | refusals(ErrorEnvelope, 400, 404, 413, 422),
    openapi_extra=json_body(WebhookChange),
)
async def change_webhook(webhook_id: IdText, request: Request, call: Known) -> Response:
    """Another address, other events, or off and on again. Messages that wait go to the new address."""
    wanted = await asked.read(request, WebhookChange)
    to = webhooks.Change(**wanted.model_dump(include=wanted.model_fields_set))
    async with call.services.database.transaction() as tx:
        changed = await webhooks.change(tx, call.services.outbound, call.caller.account_id, _id(webhook_id), to)
    return json_response(endpoint_shown(changed))


@router.delete(
    WEBHOOK,
    status_code=204,
    response_class=Response,
    responses=refusals(ErrorEnvelope, 404),
)
async def remove_webhook(webhook_id: IdText, call: Known) -> Response:
    """It is told nothing more, and what it was told is forgotten."""
    async with call.services.database.transaction() as tx:
        await webhooks.remove(tx, call.caller.account_id, _id(webhook_id))
    return Response(status_code=204)


@router.post(f"{WEBHOOK}/secret", responses=answer(200, WebhookMade) | refusals(ErrorEnvelope, 404))
async def rotate_secret(webhook_id: IdText, call: Known) -> Response:
    """A new secret, shown this once. For 24 hours messages are signed with both."""
    async with call.services.database.transaction() as tx:
        rotated = await webhooks.rotate(tx, call.caller.account_id, _id(webhook_id))
    return json_response(endpoint_made(rotated))


@router.post(
    f"{WEBHOOK}/test",
    status_code=202,
    responses=answer(202, DeliveryShown) | refusals(ErrorEnvelope, 404),
)
async def test_webhook(webhook_id: IdText, call: Known) -> Response:
    """Send it `webhook.test`, once; its delivery tells how that went."""
    async with call.services.database.transaction() as tx:
        sent = await webhooks.test(tx, call.caller.account_id, _id(webhook_id))
    call.services.wakeups.publish(webhooks.TOPIC)
    return json_response(delivery_shown(sent), 202)


@router.get(
    f"{WEBHOOK}/deliveries",
    responses=answer(200, DeliveryList) | refusals(ErrorEnvelope, 400, 404),
    openapi_extra=_LISTING,
)
async def list_deliveries(webhook_id: IdText, request: Request, call: Known) -> Response:
    """What it was told in thirty days, newest first."""
    return await _history(request, call, _id(webhook_id))


async def _history(request: Request, call: Call, endpoint_id: EndpointId | None) -> Response:
    query = request.query_params
    limit, cursor, state = (
        asked.limit(query.get("limit")),
        _cursor(query.get("cursor")),
        _state(query.get("state")),
    )
    async with call.services.database.transaction() as tx:
        page = await webhooks.history(
            tx, call.caller.account_id, limit=limit, cursor=cursor, state=state, endpoint_id=endpoint_id
        )
    return json_response(page_shown(page))


def _cursor(text: str | None) -> DeliveryId | None:
    """Raises InvalidQuery."""
    found = parse_uuid(text) if text else None
    if text and found is None:
        raise asked.InvalidQuery("This cursor was not given by this API; start again without one.")
    return DeliveryId(found) if found else None


def _state(text: str | None) -> State | None:
    """Raises InvalidQuery."""
    if text is None:
        return None
    if text not in set(State):
        raise asked.InvalidQuery(f"state is one of {', '.join(State)}.")
    return State(text)


def _id(text: str) -> EndpointId:
    """Raises WebhookNotFound."""
    found = parse_uuid(text)
    if found is None:
        raise WebhookNotFound("There is no such webhook: its id is not a UUID in lower case.")
    return EndpointId(found)


def _delivery(text: str) -> DeliveryId:
    """Raises DeliveryNotFound."""
    found = parse_uuid(text)
    if found is None:
        raise DeliveryNotFound("There is no such delivery: its id is not a UUID in lower case.")
    return DeliveryId(found)
