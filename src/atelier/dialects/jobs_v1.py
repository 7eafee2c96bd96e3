"""Jobs of every dialect, with why and how: attempts, reason, place; again, no more, sooner.

A member sees its account's jobs, an admin everybody's; a foreign id is simply not found.
"""

import re
from typing import Any

from blake3 import blake3
from fastapi import APIRouter
from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response

from atelier.accounts import service as accounts
from atelier.accounts.model import Role
from atelier.dialects import asked, jobs_listing, jobs_v1_wire
from atelier.dialects.auth import Call, Known
from atelier.dialects.openapi import answer, json_body, refusals
from atelier.dialects.problems import ErrorEnvelope
from atelier.dialects.whose import JobIdText, everybody_of, job_id_of, owner_of
from atelier.intake import again
from atelier.jobs import details
from atelier.jobs import service as jobs
from atelier.jobs.model import IdempotencyKey, Job
from atelier.kit.database import Tx
from atelier.kit.http.answers import json_response
from atelier.kit.ids import AccountId, JobId

router = APIRouter(prefix="/api/v1", tags=["jobs"])

_KEY = re.compile(r"[\x20-\x7e]{1,255}")

_RETRY: dict[str, Any] = {
    "parameters": [
        {
            "name": "Idempotency-Key",
            "in": "header",
            "description": "Single use within 24 hours: a second retry under the same key is refused.",
            "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[ -~]+$"},
        }
    ]
}


class Priority(asked.Closed):
    """10 runs first, 5 is usual. A wish above the key's highest class is lowered to it, and the answer says so."""

    priority: int = Field(ge=1, le=10)


@router.get(
    "/jobs",
    responses=answer(200, jobs_v1_wire.AllJobs) | refusals(ErrorEnvelope, 400, 403),
    openapi_extra=jobs_listing.PARAMETERS,
)
async def list_all_jobs(request: Request, call: Known) -> Response:
    """Jobs of all dialects, newest first."""
    query = request.query_params
    limit, cursor, wanted = asked.limit(query.get("limit")), query.get("cursor"), jobs_listing.wanted_by(query)
    everybody = everybody_of(call, query.get("account"))
    async with call.services.database.autocommit() as tx:
        if everybody:
            states = jobs_listing.states_of_everybody(wanted)
            found, following = await details.newest(tx, limit=limit, cursor=cursor, states=states)
        else:
            page = await jobs.listing(tx, call.caller.account_id, limit=limit, cursor=cursor, wanted=wanted)
            found, following = list(page.jobs), page.next_cursor
        named = await accounts.accounts_by_id(tx, {job.account_id for job in found})
        prospects = [await call.services.outlook.of(tx, job) for job in found]
    listed = [
        jobs_v1_wire.listed(job, prospect, named[job.account_id].name)
        for job, prospect in zip(found, prospects, strict=True)
    ]
    return json_response({"jobs": listed, "next_cursor": following})


@router.get("/jobs/{job_id}", responses=answer(200, jobs_v1_wire.JobDetails) | refusals(ErrorEnvelope, 404))
async def get_job_details(job_id: JobIdText, call: Known) -> Response:
    """One job with its attempts and what they left behind, why it waits, its place, and when it will begin."""
    named = job_id_of(job_id)
    async with call.services.database.autocommit() as tx:
        body = await spelled(tx, call, await owner_of(tx, call, named), named)
    return json_response(body)


@router.patch(
    "/jobs/{job_id}",
    responses=answer(200, jobs_v1_wire.JobDetails) | refusals(ErrorEnvelope, 400, 404, 409, 413, 422),
    openapi_extra=json_body(Priority),
)
async def change_job(job_id: JobIdText, request: Request, call: Known) -> Response:
    """Give a waiting job another priority class: up to the key's highest, an admin's key up to 10."""
    named = job_id_of(job_id)
    wish = (await asked.read(request, Priority)).priority
    ceiling = 10 if call.caller.role is Role.ADMIN else call.caller.max_priority
    async with call.services.database.transaction() as tx:
        job = await _job(tx, call, named)
        await details.set_priority(tx, job, wish, ceiling)
        body = await spelled(tx, call, job.account_id, job.id)
    call.services.wakeups.publish("queue")
    return json_response(body)


@router.post(
    "/jobs/{job_id}/cancel", responses=answer(200, jobs_v1_wire.JobDetails) | refusals(ErrorEnvelope, 404)
)
async def cancel_any_job(job_id: JobIdText, call: Known) -> Response:
    """Ask for its end. Asking again changes nothing; a finished job stays as it is."""
    named = job_id_of(job_id)
    async with call.services.database.transaction() as tx:
        job = await jobs.cancel(tx, await owner_of(tx, call, named), named)
        body = await spelled(tx, call, job.account_id, job.id)
    for topic in (f"job:{job.id}", f"account:{job.account_id}", "cancel"):
        call.services.wakeups.publish(topic)
    return json_response(body)


@router.post(
    "/jobs/{job_id}/retry",
    status_code=201,
    responses=answer(201, jobs_v1_wire.JobDetails) | refusals(ErrorEnvelope, 400, 402, 404, 409, 413, 422, 429),
    openapi_extra=_RETRY,
)
async def retry_job(job_id: JobIdText, request: Request, call: Known) -> Response:
    """A new job of the same graph, inputs and labels, for one that ended; `retry_of` names the old one.

    Keys of partner nodes are forgotten when a job ends: submit anew what needs one.
    """
    key, named = _idempotency(request.headers.get("idempotency-key"), job_id), job_id_of(job_id)
    async with call.services.database.autocommit() as tx:
        owner = await owner_of(tx, call, named)
    job = await again.retry(call.services.intake, call.caller, owner, named, key)
    async with call.services.database.autocommit() as tx:
        body = await spelled(tx, call, owner, job.id)
    return json_response(body, 201, {"Location": f"{call.base}/api/v1/jobs/{job.id}"})


async def _job(tx: Tx, call: Call, job_id: JobId) -> Job:
    return await jobs.read(tx, await owner_of(tx, call, job_id), job_id)


async def spelled(tx: Tx, call: Call, owner: AccountId, job_id: JobId) -> dict[str, Any]:
    """The job as the caller is shown it. Raises JobNotFound."""
    whole = await details.whole(tx, owner, job_id)
    prospect = await call.services.outlook.of(tx, whole.job)
    is_admin = call.caller.role is Role.ADMIN
    return jobs_v1_wire.detailed(whole, prospect, call, with_addresses=is_admin)


def _idempotency(header: str | None, job_id: str) -> IdempotencyKey | None:
    if header is None:
        return None
    if not _KEY.fullmatch(header):
        raise asked.InvalidQuery("Idempotency-Key must be 1 to 255 printable ASCII characters.")
    return IdempotencyKey(header, blake3(f"retry {job_id}".encode()).digest())
