"""Which workflows there are, what each takes and costs, which servers can run it; everybody's and one's own."""

import re
from typing import Annotated, Any

from fastapi import APIRouter, Path
from starlette.requests import Request
from starlette.responses import Response

from atelier.accounts.model import Role
from atelier.dialects import workflows_wire as wire
from atelier.dialects.asked import InvalidQuery
from atelier.dialects.auth import Call, Known
from atelier.dialects.openapi import Responses, answer, refusals
from atelier.dialects.places import WORKFLOW
from atelier.dialects.problems import ErrorEnvelope
from atelier.kit.http.answers import json_response
from atelier.workflows.manifest import CATEGORIES
from atelier.workflows.model import Workflow
from atelier.workflows.readiness import Look
from atelier.workflows.registry import shown_faults
from atelier.workflows.service import WorkflowNotFound

router = APIRouter(prefix="/api/v1", tags=["workflows"])

LONGEST = 100

_TYPES = ((b"RIFF", "image/webp"), (b"\x89PNG", "image/png"), (b"\xff\xd8", "image/jpeg"))
_PORTUGUESE = re.compile(r"\s*(pt|en)\b", re.IGNORECASE)

_PICTURE: Responses = {
    200: {
        "description": "A WebP, PNG or JPEG.",
        "content": {"image/*": {"schema": {"type": "string", "format": "binary"}}},
    }
}

WorkflowId = Annotated[str, Path(json_schema_extra={"maxLength": 64}, examples=["text-to-image-sdxl"])]


def _query(name: str, description: str, **schema: Any) -> dict[str, Any]:
    return {
        "name": name,
        "in": "query",
        "description": description,
        "schema": {"type": "string", "maxLength": LONGEST, **schema},
    }


_LANGUAGE = _query("lang", "Language of names and descriptions; else Accept-Language.", enum=["en", "pt"])
_VERSION = _query("version", "A revision's number, or what its author calls it; else the one that runs.")
_FILTERS = [
    _query("category", "Only these.", enum=list(CATEGORIES)),
    _query("family", "Only those of this model family."),
    _query("tag", "Only those with this tag."),
    _query("runnable", "Only those that some server could begin now, or only the others.", enum=["true", "false"]),
    _LANGUAGE,
]


@router.get(
    "/workflows",
    responses=answer(200, wire.WorkflowList) | refusals(ErrorEnvelope, 400),
    openapi_extra={"parameters": _FILTERS},
)
async def list_workflows(request: Request, call: Known) -> Response:
    """Everybody's workflows and the caller's own, by id; of two of one id the caller's own."""
    look = _look(call)
    wanted = _runnable(request)
    _check_category(request.query_params.get("category"))
    found: list[tuple[Workflow, bool | None]] = []
    for workflow in call.services.registry.listing(call.caller.account_id):
        runnable = look.runnable(workflow) if _is_meant(workflow, request) else None
        if _is_meant(workflow, request) and (wanted is None or (runnable is True) == wanted):
            found.append((workflow, runnable))
    seconds = await _averages(call, [workflow for workflow, _ in found])
    language = _language(request)
    shown = [
        wire.summary(workflow, wire.Shown(call.base, language, runnable, seconds.get(workflow.digest)))
        for workflow, runnable in found
    ]
    admin = call.caller.role is Role.ADMIN
    faults = shown_faults(call.services.registry.faults) if admin else None
    return json_response({"workflows": shown, "faults": faults})


@router.get(
    WORKFLOW,
    responses=answer(200, wire.WorkflowDetail) | refusals(ErrorEnvelope, 400, 404),
    openapi_extra={"parameters": [_VERSION, _LANGUAGE]},
)
async def get_workflow(request: Request, call: Known, workflow_id: WorkflowId) -> Response:
    """One workflow with the JSON Schema of its parameters, its price, and what servers lack to run it."""
    workflow = await _find(request, call, workflow_id)
    services = call.services
    look = _look(call)
    seconds = await _averages(call, [workflow])
    beside = wire.Shown(call.base, _language(request), look.runnable(workflow), seconds.get(workflow.digest))
    models = services.readiness.models(services.intake.fleet)
    named = call.caller.role is Role.ADMIN
    return json_response(wire.detail(workflow, beside, look.fits(workflow), models, named=named))


@router.get(
    f"{WORKFLOW}/versions",
    responses=answer(200, wire.VersionList) | refusals(ErrorEnvelope, 404),
)
async def list_versions(call: Known, workflow_id: WorkflowId) -> Response:
    """All revisions of a workflow, newest first; drafts of one's own alone."""
    registry = call.services.registry
    every = await registry.versions(call.caller.account_id, workflow_id)
    current = registry.current(call.caller.account_id, workflow_id)
    return json_response({"workflow_id": workflow_id, "versions": [wire.version(one, current) for one in every]})


@router.get(
    f"{WORKFLOW}/cover",
    response_class=Response,
    responses=_PICTURE | refusals(ErrorEnvelope, 400, 404),
    openapi_extra={"parameters": [_VERSION]},
)
async def get_cover(request: Request, call: Known, workflow_id: WorkflowId) -> Response:
    """Its cover image."""
    workflow = await _find(request, call, workflow_id)
    cover = await call.services.registry.cover(workflow) if workflow.has_cover else None
    if cover is None:
        raise WorkflowNotFound(f"{workflow_id} has no cover image.")
    kind = next((kind for magic, kind in _TYPES if cover.startswith(magic)), "application/octet-stream")
    headers = {"Cache-Control": "private, max-age=3600", "X-Content-Type-Options": "nosniff"}
    return Response(cover, headers=headers, media_type=kind)


async def _find(request: Request, call: Call, workflow_id: str) -> Workflow:
    version = _text(request, "version")
    return await call.services.registry.find(call.caller.account_id, workflow_id, version)


async def _averages(call: Call, workflows: list[Workflow]) -> dict[bytes, float]:
    """Seconds by the workflow's digest."""
    readiness = call.services.readiness
    shapes = {workflow.digest: readiness.shape(workflow) for workflow in workflows}
    seconds = await call.services.registry.averages(set(shapes.values()))
    return {digest: seconds[shape] for digest, shape in shapes.items() if shape in seconds}


def _look(call: Call) -> Look:
    return call.services.readiness.look(call.services.intake.fleet)


def _is_meant(workflow: Workflow, request: Request) -> bool:
    manifest = workflow.manifest
    category, family, tag = (_text(request, name) for name in ("category", "family", "tag"))
    return (
        category in {None, manifest.category}
        and family in {None, manifest.family}
        and (tag is None or tag in manifest.tags)
    )


def _check_category(said: str | None) -> None:
    """Raises InvalidQuery: a mistyped one would look as if there were no workflows."""
    if said is not None and said not in CATEGORIES:
        raise InvalidQuery(f"There is no category {said[:40]!r}.", details={"known": list(CATEGORIES)})


def _runnable(request: Request) -> bool | None:
    said = _text(request, "runnable")
    if said not in {None, "true", "false"}:
        raise InvalidQuery("runnable must be true or false.")
    return None if said is None else said == "true"


def _language(request: Request) -> str:
    """What is asked for, else the first of Accept-Language that we speak."""
    said = _text(request, "lang")
    if said not in {None, "en", "pt"}:
        raise InvalidQuery("lang must be en or pt.")
    wanted = request.headers.get("accept-language", "").split(",")[:10]
    spoken = (found[1].lower() for one in wanted if (found := _PORTUGUESE.match(one)))
    return said or next(spoken, "en")


def _text(request: Request, name: str) -> str | None:
    said = request.query_params.get(name)
    if said is not None and (not said or len(said) > LONGEST or "\0" in said):
        raise InvalidQuery(f"{name} must be a text of 1 to {LONGEST} characters.")
    return said
