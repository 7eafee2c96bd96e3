"""Many runs of a workflow in one request, and what became of them; all of it is the caller's own."""

from typing import Annotated, Any

from fastapi import APIRouter, Path
from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response

from atelier.dialects import asked, batches_wire, generate_body
from atelier.dialects.auth import Call, Known
from atelier.dialects.comfy_v2.parameters import IDEMPOTENCY_KEY, ON_BEHALF_OF, PRIORITY
from atelier.dialects.generate_body import Run
from atelier.dialects.openapi import answer, json_body, refusals
from atelier.dialects.problems import ErrorEnvelope
from atelier.intake.batches import BatchAsked, Batches
from atelier.intake.expanding import check_size, form_of
from atelier.intake.inputs import Receipts
from atelier.jobs import batches
from atelier.jobs.batches import Batch, BatchNotFound
from atelier.jobs.cached import TOPIC
from atelier.jobs.service import InvalidCursor
from atelier.kit.database import Tx
from atelier.kit.http.answers import json_response
from atelier.kit.ids import parse_uuid

router = APIRouter(prefix="/api/v1", tags=["batches"])

BatchIdText = Annotated[str, Path(json_schema_extra={"format": "uuid"})]


class GenerateBatch(Run):
    """Many runs of one workflow: exactly one of `items`, `grid` and `input_images`; all else holds for each."""

    workflow_id: str = Field(min_length=1, max_length=200)
    items: Any = Field(
        default=None,
        description="Each says `params`, `prompt`, `seed`, `input_image`… of its own, before what holds for all.",
        json_schema_extra={"type": ["array", "null"], "items": {"type": "object"}},
    )
    grid: Any = Field(
        default=None,
        description="Lists of values by parameter: one run for every combination, the last name changing fastest.",
        json_schema_extra={"type": ["object", "null"], "additionalProperties": {"type": "array"}},
        examples=[{"steps": [10, 20], "cfg": [3, 5]}],
    )
    input_images: Any = Field(
        default=None,
        description="Pictures: one run for each.",
        json_schema_extra={"type": ["array", "null"], "items": {"type": ["string", "object"]}},
    )


_CURSOR: dict[str, Any] = {
    "name": "cursor",
    "in": "query",
    "description": "`next_cursor` of the page before.",
    "schema": {"type": "string", "pattern": "^[0-9a-f-]{0,36}$"},
}


@router.post(
    "/generate/batch",
    status_code=202,
    responses=answer(202, batches_wire.BatchShown) | refusals(ErrorEnvelope, 400, 402, 403, 404, 413, 422, 429),
    openapi_extra={"parameters": [IDEMPOTENCY_KEY, PRIORITY, ON_BEHALF_OF], **json_body(GenerateBatch)},
)
async def generate_batch(request: Request, call: Known) -> Response:
    """Run a workflow many times. An item that is wrong is refused by itself; the others run.

    Nothing is accepted where all items are refused, there are too many, or the queue has no room for all of them.
    """
    receipts = Receipts()
    with receipts.named():
        caller = generate_body.caller_of(request, call)
        said, digest = await generate_body.read(request, call, GenerateBatch, receipts)
        many = {"items": said.items, "grid": said.grid, "input_images": said.input_images}
        check_size(form_of(many), call.services.max_batch_items)
        common = said.model_copy(update={"input_images": None, "webhook": None})
        wanted = BatchAsked(
            generate_body.asked_of(request, call, common, said.workflow_id, digest),
            form_of(_ours(call, many)),
            generate_body.webhook_of(call, said.webhook),
        )
        batch = await Batches(call.services.generation, call.services.max_batch_items).submit(caller, wanted)
    async with call.services.database.autocommit() as tx:
        body = await _shown(tx, call, batch, 0, asked.MAX_LIMIT)
    return json_response(body, 202, {"Location": body["urls"]["self"]})


@router.get(
    "/batches",
    responses=answer(200, batches_wire.AllBatches) | refusals(ErrorEnvelope, 400),
    openapi_extra={"parameters": [asked.LIMIT, _CURSOR]},
)
async def list_batches(request: Request, call: Known) -> Response:
    """The account's batches, newest first."""
    limit = asked.limit(request.query_params.get("limit"))
    async with call.services.database.autocommit() as tx:
        page = await batches.listing(
            tx, call.caller.account_id, limit=limit, cursor=request.query_params.get("cursor")
        )
    listed = [batches_wire.listed(batch, call.base) for batch in page.batches]
    return json_response({"batches": listed, "next_cursor": page.next_cursor})


@router.get(
    "/batches/{batch_id}",
    responses=answer(200, batches_wire.BatchShown) | refusals(ErrorEnvelope, 400, 404),
    openapi_extra={"parameters": [asked.LIMIT, _CURSOR]},
)
async def get_batch(batch_id: BatchIdText, request: Request, call: Known) -> Response:
    """The progress of the whole, and a page of its items with their outputs or errors."""
    limit = asked.limit(request.query_params.get("limit"))
    start = _start(request.query_params.get("cursor"))
    async with call.services.database.autocommit() as tx:
        body = await _shown(tx, call, await _batch(tx, call, batch_id), start, limit)
    return json_response(body)


@router.post(
    "/batches/{batch_id}/cancel",
    responses=answer(200, batches_wire.BatchListed) | refusals(ErrorEnvelope, 404),
)
async def cancel_batch(batch_id: BatchIdText, call: Known) -> Response:
    """Ask for the end of all that goes on. Asking again changes nothing; what has ended stays as it is."""
    account_id = call.caller.account_id
    async with call.services.database.transaction() as tx:
        ended = await batches.cancel(tx, account_id, (await _batch(tx, call, batch_id)).id)
        batch = await _batch(tx, call, batch_id)
    for topic in (*(f"job:{job_id}" for job_id in ended), f"account:{account_id}", "cancel", TOPIC):
        call.services.wakeups.publish(topic)
    return json_response(batches_wire.listed(batch, call.base))


def _ours(call: Call, said: Any) -> Any:
    """Wherever a link of ours stands, it names its asset."""
    match said:
        case {"url": str()}:
            return generate_body.ours(call, said)
        case dict():
            members: dict[str, Any] = {**said}
            return {name: _ours(call, value) for name, value in members.items()}
        case list():
            values: list[Any] = [*said]
            return [_ours(call, value) for value in values]
        case _:
            return generate_body.ours(call, said)


async def _batch(tx: Tx, call: Call, batch_id: str) -> Batch:
    """Raises BatchNotFound."""
    known = parse_uuid(batch_id)
    if known is None:
        raise BatchNotFound("There is no such batch: its id is not a UUID in lower case.")
    return await batches.read(tx, call.caller.account_id, known)


async def _shown(tx: Tx, call: Call, batch: Batch, start: int, limit: int) -> dict[str, Any]:
    found, following = await batches.items(tx, batch, start=start, limit=limit)
    return {
        **batches_wire.listed(batch, call.base),
        "items": [batches_wire.item(one, call) for one in found],
        "next_cursor": None if following is None else str(following),
    }


def _start(cursor: str | None) -> int:
    if not cursor:
        return 0
    if not cursor.isascii() or not cursor.isdigit() or len(cursor) > 9:
        raise InvalidCursor("This cursor was not given by this API; start again without one.")
    return int(cursor)
