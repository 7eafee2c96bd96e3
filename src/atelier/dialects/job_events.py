"""The events of one job as a stream that can be taken up again where it was lost."""

import contextlib
from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import Response

from atelier.dialects import asked
from atelier.dialects.auth import Known
from atelier.dialects.job_feed import EventFeed
from atelier.dialects.jobs_v1_wire import ErrorShown, OutputShown
from atelier.dialects.openapi import refusals
from atelier.dialects.problems import ErrorEnvelope
from atelier.dialects.streams import event_schema
from atelier.dialects.whose import JobIdText, job_id_of, owner_of
from atelier.kit.http.sse import EventStream

router = APIRouter(prefix="/api/v1", tags=["events"])

_DIGITS = 9


class Told(BaseModel):
    """`seq` counts the job's events from 1, without holes; it is the event's id on the wire too."""

    job_id: str
    seq: int
    at: str


class StatusTold(Told):
    """`error` where it failed. `terminal`: nothing comes behind it."""

    state: str
    terminal: bool
    error: ErrorShown | None = None


class OutputTold(Told):
    """`note`: why the file is not in the format that was asked for, where it is not."""

    output: OutputShown
    note: str | None = None


class RetryTold(Told):
    """The job waits again, for `delay` seconds at least."""

    attempt: int
    reason: str
    delay: float


class PlaceTold(BaseModel):
    """The newest only: its place among those that wait, and why it waits."""

    job_id: str
    position: int
    place: str
    eta_seconds: float | None
    reason: str


class HowFar(BaseModel):
    """`value` is 0 to 1 and never goes back."""

    value: float
    nodes_done: int
    nodes_total: int
    current_node: str | None
    current_node_class: str | None
    step: int | None
    steps: int | None
    message: str | None


class ProgressTold(HowFar):
    """The newest only."""

    job_id: str


class PreviewTold(BaseModel):
    """The newest only, twice a second at most, and only while somebody looks."""

    job_id: str
    node_id: str
    content_type: str
    data_base64: str


EVENTS: dict[str, type[BaseModel]] = {
    "status": StatusTold,
    "output": OutputTold,
    "retry": RetryTold,
    "queue": PlaceTold,
    "progress": ProgressTold,
    "preview": PreviewTold,
}

_ANSWERS: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "What happened behind Last-Event-ID, then what happens; ends behind the terminal status.",
        "content": {
            "text/event-stream": {"schema": {"oneOf": [event_schema(*named) for named in EVENTS.items()]}}
        },
    },
    204: {"description": "The job has ended, and Last-Event-ID is its last event: there is nothing to come for."},
}

_ASKED: dict[str, Any] = {
    "parameters": [
        {
            "name": "Last-Event-ID",
            "in": "header",
            "description": "The number of the last event that the client has; browsers send it by themselves.",
            "schema": {"type": "string", "pattern": f"^[0-9]{{0,{_DIGITS}}}$"},
        },
        {
            "name": "since",
            "in": "query",
            "description": "The same, for clients that cannot send the header; the header counts.",
            "schema": {"type": "integer", "minimum": 0, "maximum": 10**_DIGITS - 1, "default": 0},
        },
        {
            "name": "previews",
            "in": "query",
            "description": "`false`: no previews.",
            "schema": {"type": "boolean", "default": True},
        },
    ]
}


@router.get(
    "/jobs/{job_id}/events",
    status_code=200,
    response_class=EventStream,
    responses=_ANSWERS | refusals(ErrorEnvelope, 400, 404, 429),
    openapi_extra=_ASKED,
)
async def stream_job_events(job_id: JobIdText, request: Request, call: Known) -> Response:
    """Server-sent events until the job has ended: `status`, `output`, `retry`, `queue`, `progress`, `preview`."""
    services, wanted = call.services, job_id_of(job_id)
    heard = _number(request.headers.get("last-event-id") or request.query_params.get("since") or "0")
    previews = asked.flag("previews", request.query_params.get("previews"), default=True)
    with contextlib.ExitStack() as slot:
        slot.enter_context(services.streams.held(call.caller.account_id))
        async with services.database.autocommit() as tx:
            owner = await owner_of(tx, call, wanted)
        feed = EventFeed(call, owner, wanted, heard, previews=previews)
        if not await feed.open():
            return Response(status_code=204)
        return EventStream(feed.run, services.closing, slot.pop_all())


def _number(text: str) -> int:
    """Raises InvalidQuery."""
    if not text.isascii() or not text.isdigit() or len(text) > _DIGITS:
        raise asked.InvalidQuery("Last-Event-ID is the number of an event of this job, as its stream gave it.")
    return int(text)
