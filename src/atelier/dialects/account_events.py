"""Everything of the caller on one connection, a socket or a stream of events, taken up where it was lost."""

import asyncio
import contextlib
from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import Response
from starlette.websockets import WebSocket, WebSocketDisconnect

from atelier.dialects import asked
from atelier.dialects.account_feed import AccountFeed, Wish, Word
from atelier.dialects.auth import Call, Known, identify
from atelier.dialects.job_events import HowFar
from atelier.dialects.jobs_v1_wire import ErrorShown, OutputShown
from atelier.dialects.openapi import refusals
from atelier.dialects.problems import ErrorEnvelope, envelope
from atelier.dialects.services import Services
from atelier.dialects.streams import event_schema
from atelier.dialects.whose import batch_of, everybody_of
from atelier.jobs.stream import Chosen, Cursor
from atelier.kit.database import AWAY
from atelier.kit.errors import Refusal
from atelier.kit.http import problems
from atelier.kit.http.answers import compact
from atelier.kit.http.problems import Problem
from atelier.kit.http.sse import KEEPALIVE, EventStream, encode
from atelier.kit.http.streamed import Emit, until_first

router = APIRouter(prefix="/api/v1", tags=["events"])

PATIENCE_SECONDS = 30.0
"""So long one message may wait for its reader."""

LONGEST = 128

GOING_AWAY = (1001, "the server is going down; connect again with your cursor")
TOO_SLOW = (1013, "messages were not read in time; connect again with your cursor")
TOO_LOUD = (1008, "this socket is for listening")

MOST_SAID = 100
"""Messages of a client, which has none to send."""


class Ready(BaseModel):
    """The first event. `resumed`: what was missed comes next."""

    resumed: bool


class Reset(BaseModel):
    """The first event where the cursor is too old: what was missed cannot be told, read the listings instead."""

    reason: str


class Happened(BaseModel):
    """`seq` counts the job's events from 1, without holes."""

    model_config = ConfigDict(extra="allow")

    job_id: str
    seq: int
    at: str
    account_id: str
    workflow_id: str | None
    batch_id: str | None
    end_user: str
    state: str
    output: OutputShown | None = Field(default=None, description="Of job.output.")
    error: ErrorShown | None = Field(default=None, description="Of job.failed.")
    reason: str | None = Field(default=None, description="Of job.retrying and job.expired.")


class JobMoved(BaseModel):
    """The newest only, four times a second at most."""

    job_id: str
    account_id: str
    workflow_id: str | None
    batch_id: str | None
    end_user: str
    state: str
    progress: HowFar


class BatchStands(BaseModel):
    """Jobs by how they ended; `live` of them go on, `refused` items became none. `progress`: 0 to 1."""

    batch_id: str
    workflow_id: str
    total: int
    refused: int
    live: int
    succeeded: int
    failed: int
    canceled: int
    expired: int
    progress: float


_OF_JOBS = ("queued", "running", "retrying", "output", "canceling", "succeeded", "failed", "canceled", "expired")

EVENTS: Mapping[str, type[BaseModel]] = {
    "ready": Ready,
    "reset": Reset,
    **{f"job.{name}": Happened for name in _OF_JOBS},
    "job.progress": JobMoved,
    "batch.progress": BatchStands,
    "batch.completed": BatchStands,
}

MODELS: tuple[type[BaseModel], ...] = (Ready, Reset, Happened, JobMoved, BatchStands)

_ANSWERS: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "All that happens to the caller's jobs and batches, for as long as both sides like. With an"
        " upgrade to WebSocket the same, as JSON messages {type, cursor, …}.",
        "content": {
            "text/event-stream": {"schema": {"oneOf": [event_schema(*named) for named in EVENTS.items()]}}
        },
    }
}


def _text(name: str, description: str) -> dict[str, Any]:
    schema = {"type": "string", "minLength": 1, "maxLength": LONGEST}
    return {"name": name, "in": "query", "description": description, "schema": schema}


_ASKED: dict[str, Any] = {
    "parameters": [
        {
            "name": "since",
            "in": "query",
            "description": "The cursor of the last event that the client has: what came behind it is told first."
            " Without one: from now on. The header Last-Event-ID counts before it.",
            "schema": {"type": "string", "pattern": "^[0-9a-f_.-]*$"},
        },
        {"name": "Last-Event-ID", "in": "header", "schema": {"type": "string", "pattern": "^[0-9a-f_.-]*$"}},
        _text("workflow", "Only jobs of this workflow."),
        _text("end_user", "Only jobs for this end user."),
        {
            "name": "batch",
            "in": "query",
            "description": "Only jobs of this batch.",
            "schema": {"type": "string", "format": "uuid"},
        },
        {
            "name": "progress",
            "in": "query",
            "description": "`false`: no `job.progress`.",
            "schema": {"type": "boolean", "default": True},
        },
        {
            "name": "account",
            "in": "query",
            "description": "`all`: the jobs of all accounts, for admins.",
            "schema": {"type": "string", "enum": ["all", "mine"], "default": "mine"},
        },
    ]
}


@router.get(
    "/events",
    status_code=200,
    response_class=EventStream,
    responses=_ANSWERS | refusals(ErrorEnvelope, 400, 403, 429),
    openapi_extra=_ASKED,
)
async def stream_events(request: Request, call: Known) -> Response:
    """Server-sent events of all the caller's jobs and batches; WebSocket clients ask at the same address."""
    feed = AccountFeed(call, _wish(call, request.query_params, request.headers.get("last-event-id")))
    with contextlib.ExitStack() as slot:
        slot.enter_context(call.services.streams.held(call.caller.account_id))

        async def source(emit: Emit) -> bytes:
            async def tell(words: Sequence[Word]) -> None:
                await emit(b"".join(_event(word) for word in words) or KEEPALIVE)

            await feed.run(tell)
            return b""

        return EventStream(source, call.services.closing, slot.pop_all())


@router.websocket("/events")
async def connect(websocket: WebSocket) -> None:
    """The same as messages `{type, cursor, …}`; who may not come in gets an HTTP answer."""
    services: Services = websocket.app.state.services
    with contextlib.ExitStack() as slot:
        try:
            call = await identify(websocket)
            wish = _wish(call, websocket.query_params, websocket.headers.get("last-event-id"))
            slot.enter_context(services.streams.held(call.caller.account_id))
        except Refusal as refusal:
            await _turn_away(websocket, problems.from_refusal(refusal))
        except AWAY:
            await _turn_away(websocket, problems.AWAY)
        else:
            await websocket.accept()
            await _converse(websocket, AccountFeed(call, wish), services.closing)


async def _converse(websocket: WebSocket, feed: AccountFeed, closing: asyncio.Event) -> None:
    """Until one of the two goes."""
    talk = _Talk(websocket)

    async def going_down() -> None:
        await closing.wait()
        talk.farewell = GOING_AWAY

    await until_first(talk.write(feed), talk.read(), going_down())
    if talk.farewell is not None:
        with contextlib.suppress(WebSocketDisconnect):
            await websocket.close(*talk.farewell)


class _Talk:
    """`farewell`: why we go; None while it is the client who goes."""

    def __init__(self, websocket: WebSocket) -> None:
        self._websocket = websocket
        self.farewell: tuple[int, str] | None = None

    async def write(self, feed: AccountFeed) -> None:
        try:
            await feed.run(self._tell)
        except WebSocketDisconnect:
            return
        except TimeoutError:
            self.farewell = TOO_SLOW

    async def read(self) -> None:
        for _ in range(MOST_SAID):
            if (await self._websocket.receive())["type"] != "websocket.receive":
                return
        self.farewell = TOO_LOUD

    async def _tell(self, words: Sequence[Word]) -> None:
        for word in words:
            async with asyncio.timeout(PATIENCE_SECONDS):
                await self._websocket.send_text(_message(word))


async def _turn_away(websocket: WebSocket, problem: Problem) -> None:
    await websocket.send_denial_response(envelope(problem))


def _event(word: Word) -> bytes:
    return encode(word.kind, compact(word.data), str(word.cursor) if word.cursor else None)


def _message(word: Word) -> str:
    cursor = {"cursor": str(word.cursor)} if word.cursor else {}
    return compact({"type": word.kind, **cursor, **word.data})


def _wish(call: Call, query: Mapping[str, str], last: str | None) -> Wish:
    """Raises InvalidCursor, InvalidQuery, Forbidden."""
    since = last or query.get("since")
    everybody = everybody_of(call, query.get("account"))
    return Wish(
        since=Cursor.parse(since) if since else None,
        chosen=Chosen(
            () if everybody else (call.caller.account_id,),
            end_user=asked.text("end_user", query.get("end_user"), LONGEST),
            workflow=asked.text("workflow", query.get("workflow"), LONGEST),
            batch_id=batch_of(query.get("batch")),
        ),
        everybody=everybody,
        progress=asked.flag("progress", query.get("progress"), default=True),
    )
