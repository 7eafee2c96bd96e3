"""Dead letters over HTTP: what was given up, with its evidence; replayed, or discarded, each once."""

import re
import uuid
from collections.abc import Sequence
from typing import Annotated, Any, Self

from fastapi import APIRouter, Path
from pydantic import BaseModel, Field, model_validator
from starlette.requests import Request
from starlette.responses import Response

from atelier.accounts.model import Role
from atelier.dialects import asked, jobs_v1_wire
from atelier.dialects.auth import Call, Known
from atelier.dialects.openapi import answer, json_body, refusals
from atelier.dialects.problems import ErrorEnvelope
from atelier.intake import again
from atelier.jobs import dead_letters, details
from atelier.jobs.store.dead_letters import Letter
from atelier.kit.errors import Refusal
from atelier.kit.http.answers import json_response
from atelier.kit.ids import AccountId, JobId, parse_uuid

_UUID = "^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$"

router = APIRouter(prefix="/api/v1", tags=["dead letters"])

JobIdGiven = Annotated[str, Field(pattern=_UUID, json_schema_extra={"format": "uuid"})]
JobIdText = Annotated[str, Path(json_schema_extra={"format": "uuid"})]

_CODE = re.compile(r"[a-z_]{0,100}")

_LISTING: dict[str, Any] = {
    "parameters": [
        asked.LIMIT,
        {"name": "cursor", "in": "query", "schema": {"type": "string", "pattern": "^[0-9a-f-]{0,36}$"}},
        {"name": "code", "in": "query", "schema": {"type": "string", "maxLength": 100, "pattern": "^[a-z_]*$"}},
    ]
}


class LetterShown(BaseModel):
    """`servers`: where it was tried, in order. Settled: replayed, or discarded."""

    job_id: str
    account: str
    code: str
    message: str
    died_at: str
    tries: int
    server_deaths: int
    dispatcher_losses: int
    lane: list[str]
    servers: list[str]
    replayed_as: str | None
    settled_at: str | None


class LetterDetails(LetterShown):
    attempts: list[jobs_v1_wire.AttemptShown]


class LetterList(BaseModel):
    """`total` counts all that are open."""

    dead_letters: list[LetterShown]
    total: int
    next_cursor: str | None


class Chosen(asked.Closed):
    """Either `ids` or `all`; with `all` perhaps only those of one `code`."""

    ids: list[JobIdGiven] = Field(default=[], max_length=again.MOST_AT_ONCE)
    all: bool = False
    code: str | None = Field(default=None, max_length=100, pattern="^[a-z_]*$")

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if self.all == bool(self.ids):
            raise ValueError("name some ids, or say all: true")
        if self.code is not None and not self.all:
            raise ValueError("a code goes with all: true")
        return self


class Replayed(BaseModel):
    """`fresh`: made by this request; else somebody was quicker."""

    job_id: str
    replayed_as: str
    fresh: bool


class NotReplayed(BaseModel):
    job_id: str
    code: str
    message: str


class Replays(BaseModel):
    """`left` are still open; ask again for them."""

    replayed: list[Replayed]
    refused: list[NotReplayed]
    left: int


class Discarded(BaseModel):
    discarded: int


@router.get(
    "/dead-letters", responses=answer(200, LetterList) | refusals(ErrorEnvelope, 400), openapi_extra=_LISTING
)
async def list_dead_letters(request: Request, call: Known) -> Response:
    """Jobs that were given up for a reason that is not their graph's, newest first, until each is settled."""
    query = request.query_params
    limit = asked.limit(query.get("limit"))
    async with call.services.database.autocommit() as tx:
        page = await dead_letters.page(
            tx, _scope(call), limit=limit, cursor=query.get("cursor"), code=_code(query.get("code"))
        )
    shown = [_shown(letter) for letter in page.letters]
    return json_response({"dead_letters": shown, "total": page.total, "next_cursor": page.next_cursor})


@router.post(
    "/dead-letters/replay",
    responses=answer(200, Replays) | refusals(ErrorEnvelope, 400, 413, 422),
    openapi_extra=json_body(Chosen),
)
async def replay_many(request: Request, call: Known) -> Response:
    """Replay those named, or the newest of all; at most two hundred at once."""
    chosen = await asked.read(request, Chosen)
    done = await again.replay_many(
        call.services.intake, call.caller, _scope(call), ids=_ids(chosen), code=chosen.code
    )
    replayed = [_replayed(one) for one in done.replayed]
    refused = [_refused(job_id, refusal) for job_id, refusal in done.refused]
    return json_response({"replayed": replayed, "refused": refused, "left": done.left})


@router.post(
    "/dead-letters/discard",
    responses=answer(200, Discarded) | refusals(ErrorEnvelope, 400, 413, 422),
    openapi_extra=json_body(Chosen),
)
async def discard_many(request: Request, call: Known) -> Response:
    """Take those named, or all, from the list. The jobs stay as they ended."""
    chosen = await asked.read(request, Chosen)
    async with call.services.database.transaction() as tx:
        done = await dead_letters.discard_many(tx, _scope(call), ids=_ids(chosen), code=chosen.code)
    return json_response({"discarded": done})


@router.get("/dead-letters/{job_id}", responses=answer(200, LetterDetails) | refusals(ErrorEnvelope, 404))
async def get_dead_letter(job_id: JobIdText, call: Known) -> Response:
    """One of them with its attempts and what they left behind; settled ones too."""
    async with call.services.database.autocommit() as tx:
        letter = await dead_letters.read(tx, _scope(call), _id(job_id))
        whole = await details.whole(tx, letter.account_id, letter.job_id)
    with_addresses = call.caller.role is Role.ADMIN
    attempts = [jobs_v1_wire.attempt(one, with_addresses=with_addresses) for one in whole.attempts]
    return json_response({**_shown(letter), "attempts": attempts})


@router.post(
    "/dead-letters/{job_id}/replay",
    responses=answer(200, Replayed) | refusals(ErrorEnvelope, 402, 404, 409, 413, 422, 429),
)
async def replay_one(job_id: JobIdText, call: Known) -> Response:
    """A new job in its place. Asked twice, also at the same time, it gives the same job."""
    done = await again.replay(call.services.intake, call.caller, _scope(call), _id(job_id))
    return json_response(_replayed(done))


@router.delete(
    "/dead-letters/{job_id}",
    status_code=204,
    response_class=Response,
    responses=refusals(ErrorEnvelope, 404, 409),
)
async def discard_one(job_id: JobIdText, call: Known) -> Response:
    """Take it from the list. The job stays as it ended."""
    async with call.services.database.transaction() as tx:
        await dead_letters.discard(tx, _scope(call), _id(job_id))
    return Response(status_code=204)


def _scope(call: Call) -> AccountId | None:
    """Whose letters the caller may ask for; None: everybody's."""
    return None if call.caller.role is Role.ADMIN else call.caller.account_id


def _code(text: str | None) -> str | None:
    if text is not None and not _CODE.fullmatch(text):
        raise asked.InvalidQuery("code is one of the codes that dead letters have.")
    return text or None


def _ids(chosen: Chosen) -> Sequence[JobId] | None:
    return None if chosen.all else [JobId(uuid.UUID(one)) for one in chosen.ids]


def _id(text: str) -> JobId:
    value = parse_uuid(text)
    if value is None:
        raise dead_letters.LetterNotFound("There is no such dead letter: its id is not a UUID in lower case.")
    return JobId(value)


def _shown(letter: Letter) -> dict[str, Any]:
    return {
        "job_id": str(letter.job_id),
        "account": letter.account,
        "code": letter.code,
        "message": letter.message,
        "died_at": asked.moment(letter.died_at),
        "tries": letter.tries,
        "server_deaths": letter.server_deaths,
        "dispatcher_losses": letter.dispatcher_losses,
        "lane": letter.lane.split("|") if letter.lane else [],
        "servers": list(letter.servers),
        "replayed_as": str(letter.replayed_as) if letter.replayed_as else None,
        "settled_at": asked.moment(letter.settled_at),
    }


def _replayed(one: again.Replayed) -> dict[str, Any]:
    return {"job_id": str(one.job_id), "replayed_as": str(one.new_id), "fresh": one.fresh}


def _refused(job_id: JobId, refusal: Refusal) -> dict[str, Any]:
    return {"job_id": str(job_id), "code": refusal.code, "message": refusal.message}
