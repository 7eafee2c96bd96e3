"""Anything that a workflow makes, asked for by its parameters: made, or quoted. All of it is the caller's own."""

import re
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Annotated, Any

from fastapi import APIRouter, Path
from starlette.requests import Request
from starlette.responses import Response

from atelier.dialects import asked, generate_body, generate_wire, held
from atelier.dialects.auth import Call, Known
from atelier.dialects.comfy_v2.jobs import class_of
from atelier.dialects.comfy_v2.parameters import IDEMPOTENCY_KEY, ON_BEHALF_OF, PRIORITY
from atelier.dialects.generate_body import Edit, Generate, Run
from atelier.dialects.openapi import Responses, json_body, refusals
from atelier.dialects.places import WORKFLOW
from atelier.dialects.problems import ErrorEnvelope
from atelier.intake import choosing
from atelier.intake.generation import Accepted
from atelier.intake.inputs import Receipts
from atelier.intake.quoting import quote
from atelier.jobs.model import Job
from atelier.kit.http.answers import json_response
from atelier.workflows.model import Workflow

router = APIRouter(prefix="/api/v1", tags=["generate"])

MOST_WAIT = 120
_SECONDS = re.compile(r"[0-9]{1,3}(?:\.[0-9]{1,6})?")

WorkflowIdText = Annotated[str, Path(min_length=1, max_length=200)]

_WAIT: dict[str, Any] = {
    "name": "wait",
    "in": "query",
    "description": "Seconds for which the answer may wait for the job's end: 200 once it has ended, else 202.",
    "schema": {"type": "number", "minimum": 0, "maximum": MOST_WAIT, "default": 0},
}
_LOCATION = {"Location": {"description": "The job's address.", "schema": {"type": "string", "format": "uri"}}}

_FORM: dict[str, Any] = {
    "schema": {
        "type": "object",
        "description": "The same words as fields (all but texts in JSON), and files by the names of parameters.",
        "properties": {
            "workflow_id": {"type": "string"},
            "prompt": {"type": "string"},
            "params": {"type": "string", "contentMediaType": "application/json"},
            "input_image": {"type": "string", "format": "binary"},
            "mask": {"type": "string", "format": "binary"},
        },
    }
}


def making(model: type[Run]) -> dict[str, Any]:
    body = json_body(model)
    body["requestBody"]["content"]["multipart/form-data"] = _FORM
    return {"parameters": [_WAIT, IDEMPOTENCY_KEY, PRIORITY, ON_BEHALF_OF], **body}


def _quoting(model: type[Run]) -> dict[str, Any]:
    return {"parameters": [PRIORITY, ON_BEHALF_OF], **json_body(model)}


MADE: Responses = {
    200: {"model": generate_wire.Made, "description": "It has ended: well or not, as `status` says."},
    202: {"model": generate_wire.Made, "description": "It was accepted and has not ended.", "headers": _LOCATION},
    **refusals(ErrorEnvelope, 400, 402, 403, 404, 413, 422, 429),
}
_QUOTED: Responses = {
    200: {"model": generate_wire.Quoted},
    **refusals(ErrorEnvelope, 400, 403, 404, 413, 422, 429),
}


@router.post("/generate", status_code=202, responses=MADE, openapi_extra=making(Generate))
async def generate(request: Request, call: Known) -> Response:
    """Run a workflow. What is wrong with the request is told before anything is charged.

    A refusal names in `details.received` the files that had come before it: they are assets until they expire.
    """
    return await make(request, call, Generate, _named)


@router.post("/generate/single", status_code=202, responses=MADE, openapi_extra=making(Generate))
async def generate_single(request: Request, call: Known) -> Response:
    """The same as /generate."""
    return await make(request, call, Generate, _named)


@router.post("/edit/inpaint", status_code=202, responses=MADE, openapi_extra=making(Edit))
async def inpaint(request: Request, call: Known) -> Response:
    """Paint what a mask shows of a picture anew: `input_image`, `mask` and `prompt`."""
    return await make(request, call, Edit, _for_purpose("inpaint"))


@router.post("/edit/upscale", status_code=202, responses=MADE, openapi_extra=making(Edit))
async def upscale(request: Request, call: Known) -> Response:
    """Make a picture larger: `input_image`."""
    return await make(request, call, Edit, _for_purpose("upscale"))


@router.post("/generate/quote", responses=_QUOTED, openapi_extra=_quoting(Generate))
async def quote_generate(request: Request, call: Known) -> Response:
    """What /generate would cost, and when the job would begin. Nothing is fetched, written or started."""
    said, _ = await generate_body.read(request, call, Generate, Receipts())
    return await _quote(request, call, said, said.workflow_id)


@router.post(f"{WORKFLOW}/quote", responses=_QUOTED, openapi_extra=_quoting(Run))
async def quote_workflow(workflow_id: WorkflowIdText, request: Request, call: Known) -> Response:
    """The same for the workflow of this id."""
    said, _ = await generate_body.read(request, call, Run, Receipts())
    return await _quote(request, call, said, workflow_id)


Choose = Callable[[Call, Any], Awaitable[str]]
"""Gives the id of the workflow that is asked for."""


async def _named(_call: Call, said: Generate) -> str:
    return said.workflow_id


def _for_purpose(category: str) -> Choose:
    async def choose(call: Call, said: Edit) -> str:
        services = call.services
        if named := said.workflow_id or services.defaults.get(category):
            return named
        return choosing.first_of(
            services.registry, services.readiness, services.intake.fleet, call.caller, category
        ).id

    return choose


async def make(
    request: Request, call: Call, model: type[Run], choose: Choose, exactly: Workflow | None = None
) -> Response:
    """Run what `choose` says; `exactly`: this revision, whatever the body says, a draft too."""
    seconds, receipts = _wait(request.query_params.get("wait")), Receipts()
    with receipts.named():
        caller = generate_body.caller_of(request, call)
        said, digest = await generate_body.read(request, call, model, receipts)
        wanted = generate_body.asked_of(request, call, said, await choose(call, said), digest)
        if exactly is not None:
            wanted = replace(wanted, version=exactly.revision, shared=exactly.account_id is None)
        accepted = await call.services.generation.submit(caller, wanted, receipts)
    job = await held.ended(request, call, accepted.job, seconds)
    return await _answer(call, accepted, job)


async def _answer(call: Call, accepted: Accepted, job: Job) -> Response:
    async with call.services.database.autocommit() as tx:
        cost = await generate_wire.recipe_and_price(tx, accepted, job)
        prospect = await call.services.outlook.of(tx, job)
    body = generate_wire.made(call, accepted, job, prospect, cost)
    headers = {"Location": body["urls"]["self"], **class_of(job)}
    return json_response(body, 200 if job.state.terminal else 202, headers)


async def _quote(request: Request, call: Call, said: Run, workflow_id: str) -> Response:
    caller = generate_body.caller_of(request, call)
    wanted = generate_body.asked_of(request, call, said, workflow_id)
    found = await quote(call.services.generation, call.services.outlook, caller, wanted)
    return json_response(generate_wire.quoted(found))


def _wait(text: str | None) -> float:
    """Raises InvalidQuery."""
    if text is None:
        return 0.0
    if not _SECONDS.fullmatch(text) or float(text) > MOST_WAIT:
        raise asked.InvalidQuery(f"wait must be seconds from 0 to {MOST_WAIT}.")
    return float(text)
