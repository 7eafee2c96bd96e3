"""The job operations of Comfy API v2: a caller, what it asked, one call to a domain."""

import contextlib
from typing import Annotated, Any

from blake3 import blake3
from fastapi import APIRouter, Path
from starlette.requests import Request
from starlette.responses import Response

from atelier.accounts.model import Caller
from atelier.dialects.auth import Call, Known
from atelier.dialects.comfy_v2 import parameters, schemas
from atelier.dialects.comfy_v2.events import JobFeed
from atelier.dialects.comfy_v2.listing import parse_listing
from atelier.dialects.comfy_v2.submission import (
    parse_end_user,
    parse_idempotency_key,
    parse_priority,
    parse_submission,
)
from atelier.dialects.comfy_v2.wire import PREFIX, Speller
from atelier.dialects.openapi import answer, refusals
from atelier.dialects.problems import ErrorEnvelope
from atelier.intake.service import Order
from atelier.jobs import service as jobs
from atelier.jobs.model import IdempotencyKey, Job
from atelier.jobs.store.listing import Wanted
from atelier.kit.database import Tx
from atelier.kit.http import bodies
from atelier.kit.http.answers import json_response
from atelier.kit.http.sse import EventStream
from atelier.kit.ids import JobId, parse_uuid

DIALECT = "comfy_v2"

router = APIRouter(prefix=PREFIX, tags=["jobs"])

JobIdText = Annotated[str, Path(json_schema_extra={"format": "uuid"})]
_JOB = answer(200, schemas.Job)


@router.get(
    "/jobs",
    responses=answer(200, schemas.JobList) | refusals(ErrorEnvelope, 400),
    openapi_extra=parameters.LISTING,
)
async def list_jobs(request: Request, call: Known) -> Response:
    """The account's jobs, newest first."""
    asked = parse_listing(request.query_params)
    speller = _speller(call)
    async with call.services.database.autocommit() as tx:
        page = await jobs.listing(
            tx,
            call.caller.account_id,
            limit=asked.limit,
            cursor=asked.cursor,
            wanted=Wanted(asked.states, asked.labels),
        )
        listed = [speller.listed(job, await call.services.outlook.position(tx, job)) for job in page.jobs]
    return json_response({"jobs": listed, "next_cursor": page.next_cursor})


@router.post(
    "/jobs",
    status_code=201,
    responses=parameters.ACCEPTED | refusals(ErrorEnvelope, 400, 402, 403, 413, 422, 429),
    openapi_extra=parameters.SUBMIT,
)
async def submit_job(request: Request, call: Known) -> Response:
    """Accept a job: when this is answered it is durable, and it ends exactly once."""
    key = parse_idempotency_key(request.headers.get("idempotency-key"))
    priority = parse_priority(request.headers.get("x-atelier-priority"))
    caller = _on_behalf(call.caller, parse_end_user(request.headers.get("x-on-behalf-of")))
    body = await bodies.read(request, call.services.json_limit)
    asked = parse_submission(body)
    order = Order(
        workflow=asked.workflow,
        dialect=DIALECT,
        metadata=asked.metadata,
        secrets=asked.secrets,
        idempotency=IdempotencyKey(key, blake3(body).digest()) if key else None,
        size=len(body),
        priority=priority,
    )
    job = await call.services.intake.submit(caller, order)
    async with call.services.database.autocommit() as tx:
        answered = await _spelled(tx, call, job)
    return json_response(answered, 201, {"Location": answered["urls"]["self"], **class_of(job)})


@router.get("/jobs/{job_id}", responses=_JOB | refusals(ErrorEnvelope, 404))
async def get_job(job_id: JobIdText, call: Known) -> Response:
    """One job, from our own state: it answers also when every server is down."""
    async with call.services.database.autocommit() as tx:
        job = await jobs.read(tx, call.caller.account_id, _id(job_id))
        body = await _spelled(tx, call, job)
    return json_response(body)


@router.post("/jobs/{job_id}/cancel", responses=_JOB | refusals(ErrorEnvelope, 404))
async def cancel_job(job_id: JobIdText, call: Known) -> Response:
    """Ask for its end. Asking again changes nothing; a finished job stays as it is."""
    async with call.services.database.transaction() as tx:
        job = await jobs.cancel(tx, call.caller.account_id, _id(job_id))
        body = await _spelled(tx, call, job)
    for topic in (f"job:{job.id}", f"account:{job.account_id}", "cancel"):
        call.services.wakeups.publish(topic)
    return json_response(body)


@router.get("/jobs/{job_id}/workflow", responses=answer(200, schemas.JobWorkflow) | refusals(ErrorEnvelope, 404))
async def get_workflow(job_id: JobIdText, call: Known) -> Response:
    """The graph as it was submitted."""
    async with call.services.database.autocommit() as tx:
        graph = await jobs.graph(tx, call.caller.account_id, _id(job_id))
    return json_response({"workflow": graph, "format": "api"})


@router.get(
    "/jobs/{job_id}/logs", status_code=204, response_class=Response, responses=refusals(ErrorEnvelope, 404)
)
async def get_logs(job_id: JobIdText, call: Known) -> Response:
    """Servers keep no logs per job: always empty for a job that is there."""
    async with call.services.database.autocommit() as tx:
        await jobs.read(tx, call.caller.account_id, _id(job_id))
    return Response(status_code=204)


@router.get(
    "/jobs/{job_id}/events",
    status_code=200,
    response_class=EventStream,
    responses=parameters.EVENTS | refusals(ErrorEnvelope, 404, 429),
)
async def stream_events(job_id: JobIdText, call: Known) -> Response:
    """Server-sent events `status`, `progress`, `preview`, `output` and `log` until the terminal status."""
    services = call.services
    with contextlib.ExitStack() as slot:
        slot.enter_context(services.streams.held(call.caller.account_id))
        feed = JobFeed(call, _speller(call), _id(job_id))
        await feed.open()
        return EventStream(feed.run, services.closing, slot.pop_all())


def _on_behalf(caller: Caller, end_user: str) -> Caller:
    return caller.speaking_for(end_user) if end_user else caller


def class_of(job: Job) -> dict[str, str]:
    """The class that a job was given, and a word where it is not the one that was asked for."""
    told = {"X-Atelier-Priority": str(job.priority)}
    if job.wished_priority is not None:
        told["X-Atelier-Notice"] = (
            f"priority {job.wished_priority} was lowered to {job.priority}, the highest class of this key"
        )
    return told


def _speller(call: Call) -> Speller:
    return Speller(call.base, call.services.links)


def _id(text: str) -> JobId:
    """Raises JobNotFound for what cannot be an id of ours."""
    value = parse_uuid(text)
    if value is None:
        raise jobs.JobNotFound("There is no such job: its id is not a UUID in lower case.")
    return JobId(value)


async def _spelled(tx: Tx, call: Call, job: Job) -> dict[str, Any]:
    return _speller(call).job(job, await call.services.outlook.position(tx, job))
