"""Workflows are brought, edited, tried, published and taken back at run time; nobody writes code for one.

What is brought is a file of the editor, a graph in API format, or a picture, film or sound that ComfyUI saved.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from atelier.assets.parts import Parts
from atelier.comfy import graph as graphs
from atelier.comfy.graph import Graph
from atelier.dialects import asked, generate, workflows_wire
from atelier.dialects.auth import Call, Known, require_admin
from atelier.dialects.generate_body import Run
from atelier.dialects.importing_wire import DraftChange, DraftShown, Import, Rollback
from atelier.dialects.openapi import answer, json_body, refusals
from atelier.dialects.places import WORKFLOW
from atelier.dialects.problems import ErrorEnvelope
from atelier.dialects.workflows import WorkflowId
from atelier.kit.database import Tx
from atelier.kit.http import bodies
from atelier.kit.http.answers import json_response
from atelier.kit.ids import AccountId
from atelier.workflows import checking, service
from atelier.workflows import manifest as manifests
from atelier.workflows.converting import convert, exported, finding
from atelier.workflows.model import Manifest, Words, Workflow
from atelier.workflows.proposing.proposal import id_of, propose
from atelier.workflows.registry import TOPIC
from atelier.workflows.service import WorkflowNotFound
from atelier.workflows.store.revisions import NewRevision

router = APIRouter(prefix="/api/v1", tags=["workflows"])

FILE_BYTES = 200_000_000
"""Of a picture or a film that a workflow is looked for in: it is read into memory."""
FIELD_BYTES = 1_000
MOST_NAMED_ALIKE = 100
JSON = "application/json"

_SHARED: dict[str, Any] = {
    "name": "shared",
    "in": "query",
    "description": "Everybody's workflow instead of the caller's own, for admins alone.",
    "schema": {"type": "string", "enum": ["true", "false"], "default": "false"},
}
_FORM: dict[str, Any] = {
    "schema": {
        "type": "object",
        "required": ["file"],
        "properties": {
            "id": {"type": "string"},
            "name": {"type": "string"},
            "shared": {"type": "string", "enum": ["true", "false"]},
            "file": {"type": "string", "format": "binary"},
        },
    }
}
_IMPORT = json_body(Import)
_IMPORT["requestBody"]["content"]["multipart/form-data"] = _FORM

_TRY = generate.making(Run)
_TRY["parameters"] = [_SHARED, *_TRY["parameters"]]

_DRAFT = refusals(ErrorEnvelope, 400, 403, 404, 409, 413, 422)


@dataclass(frozen=True, slots=True)
class Brought:
    """What somebody brought, as parsed JSON; `api`: a graph in API format already."""

    document: Mapping[str, Any]
    api: bool
    id: str | None = None
    name: str | None = None
    manifest: Mapping[str, Any] | None = None
    shared: bool = False


@router.post(
    "/workflows/import", status_code=201, responses=answer(201, DraftShown) | _DRAFT, openapi_extra=_IMPORT
)
async def import_workflow(request: Request, call: Known) -> Response:
    """Bring a workflow: it becomes a draft with a proposed manifest.

    The body is JSON (as `Import` says, or the workflow itself), or a form with a `file`: JSON, or a picture, film
    or sound that ComfyUI saved.
    """
    brought = await _brought(request, call)
    owner = _owner(call, shared=brought.shared)
    object_info = (await call.services.shelf.catalogue(call.services.intake.fleet)).classes
    graph, notes = await asyncio.to_thread(_graph_of, brought, object_info)
    manifest = await asyncio.to_thread(_manifest_of, brought, graph, object_info)
    async with call.services.database.transaction() as tx:
        if brought.id is None and brought.manifest is None:
            manifest = replace(manifest, id=await _free(call, tx, owner, manifest.id))
        draft = await service.save_draft(tx, owner, NewRevision(manifest, graph))
    await _changed(call)
    return json_response(await _shown(call, draft, notes), 201)


@router.get(
    f"{WORKFLOW}/draft",
    responses=answer(200, DraftShown) | _DRAFT,
    openapi_extra={"parameters": [_SHARED]},
)
async def get_draft(workflow_id: WorkflowId, request: Request, call: Known) -> Response:
    """The draft of one's own workflow with its manifest and graph; its newest revision where there is none."""
    return json_response(await _shown(call, await _newest(call, _asked_owner(request, call), workflow_id), []))


@router.put(
    f"{WORKFLOW}/draft",
    responses=answer(200, DraftShown) | _DRAFT,
    openapi_extra={"parameters": [_SHARED], **json_body(DraftChange)},
)
async def change_draft(workflow_id: WorkflowId, request: Request, call: Known) -> Response:
    """Edit a draft; of a published workflow the next revision becomes one."""
    owner = _asked_owner(request, call)
    body = await bodies.read_object(request, call.services.json_limit)
    change = asked.parse(body, DraftChange)
    now = await _newest(call, owner, workflow_id)
    graph, notes = now.graph, list[str]()
    if change.workflow is not None:
        object_info = (await call.services.shelf.catalogue(call.services.intake.fleet)).classes
        graph, notes = await asyncio.to_thread(_graph_of, _as_brought(change.workflow), object_info)
    manifest = manifests.parse(change.manifest, folder_id=workflow_id) if change.manifest else now.manifest
    cover = await call.services.registry.cover(now) if now.has_cover else None
    async with call.services.database.transaction() as tx:
        draft = await service.save_draft(tx, owner, NewRevision(manifest, graph, cover))
    await _changed(call)
    return json_response(await _shown(call, draft, notes))


@router.post(
    f"{WORKFLOW}/try",
    status_code=202,
    responses=generate.MADE,
    openapi_extra=_TRY,
)
async def try_workflow(workflow_id: WorkflowId, request: Request, call: Known) -> Response:
    """Run the newest revision of one's own workflow, a draft too, as /generate runs a published one."""
    newest = await _newest(call, _asked_owner(request, call), workflow_id)

    async def chosen(_call: Call, _said: Run) -> str:
        return workflow_id

    return await generate.make(request, call, Run, chosen, newest)


@router.post(
    f"{WORKFLOW}/publish",
    responses=answer(200, workflows_wire.WorkflowShown) | _DRAFT,
    openapi_extra={"parameters": [_SHARED]},
)
async def publish_workflow(workflow_id: WorkflowId, request: Request, call: Known) -> Response:
    """The draft runs from now on; earlier revisions stay runnable by their numbers."""
    owner = _asked_owner(request, call)
    async with call.services.database.transaction() as tx:
        published = await service.publish(tx, owner, workflow_id)
    await _changed(call)
    return json_response(_summary(call, published))


@router.post(
    f"{WORKFLOW}/rollback",
    responses=answer(200, workflows_wire.WorkflowShown) | _DRAFT,
    openapi_extra={"parameters": [_SHARED], **json_body(Rollback)},
)
async def roll_back_workflow(workflow_id: WorkflowId, request: Request, call: Known) -> Response:
    """Another revision of one's own workflow runs from now on."""
    owner = _asked_owner(request, call)
    wanted = await asked.read(request, Rollback)
    async with call.services.database.transaction() as tx:
        running = await service.rollback(tx, owner, workflow_id, wanted.revision)
    await _changed(call)
    return json_response(_summary(call, running))


@router.delete(
    WORKFLOW,
    status_code=204,
    response_class=Response,
    responses=_DRAFT,
    openapi_extra={"parameters": [_SHARED]},
)
async def withdraw_workflow(workflow_id: WorkflowId, request: Request, call: Known) -> Response:
    """It is listed and run no more; its jobs stay readable."""
    owner = _asked_owner(request, call)
    async with call.services.database.transaction() as tx:
        await service.withdraw(tx, owner, workflow_id)
    await _changed(call)
    return Response(status_code=204)


async def _brought(request: Request, call: Call) -> Brought:
    kind = request.headers.get("content-type", "")
    if kind.startswith("multipart/form-data"):
        return await _of_form(request, call)
    if kind.split(";")[0].strip() in {"", JSON, "text/plain"}:
        return _of_json(await bodies.read_object(request, call.services.json_limit))
    content = await bodies.read(request, min(FILE_BYTES, call.services.upload_limit))
    return await asyncio.to_thread(_of_file, content, {})


def _of_json(body: dict[str, Any]) -> Brought:
    """The workflow itself, or one beside its name."""
    if "workflow" not in body or exported.is_workflow(body):
        return _as_brought(body)
    said = asked.parse(body, Import)
    return replace(
        _as_brought(said.workflow), id=said.id, name=said.name, manifest=said.manifest, shared=said.shared
    )


def _as_brought(document: Mapping[str, Any]) -> Brought:
    return Brought(document, api=not exported.is_workflow(document))


async def _of_form(request: Request, call: Call) -> Brought:
    """Fields before the file; one file."""
    limit = min(FILE_BYTES, call.services.upload_limit)
    parts = Parts(request.headers.get("content-type"), bodies.limited(request, limit))
    fields: dict[str, str] = {}
    content: bytes | None = None
    while (begin := await parts.begin()) is not None:
        if begin.name == "file":
            content = b"".join([chunk async for chunk in parts.data()])
            continue
        text = await parts.text(FIELD_BYTES)
        if text is None or begin.name not in {"id", "name", "shared"}:
            raise bodies.MalformedBody(
                f"The form has a field {begin.name[:80]!r} that is not read, or is too long."
            )
        fields[begin.name] = text
    if content is None:
        raise bodies.MalformedBody("The form has no file.")
    return await asyncio.to_thread(_of_file, content, fields)


def _of_file(content: bytes, fields: Mapping[str, str]) -> Brought:
    found = finding.found(content)
    shared = asked.flag("shared", fields.get("shared"), default=False)
    return Brought(found.document, found.api, fields.get("id") or None, fields.get("name") or None, shared=shared)


def _graph_of(brought: Brought, object_info: Mapping[str, Any]) -> tuple[Graph, list[str]]:
    if brought.api:
        return graphs.parse(brought.document), []
    converted = convert.convert(brought.document, object_info)
    return converted.graph, list(converted.notes)


def _manifest_of(brought: Brought, graph: Graph, object_info: Mapping[str, Any]) -> Manifest:
    if brought.manifest is not None:
        made = manifests.parse(dict(brought.manifest), folder_id=brought.id or "")
    else:
        name = brought.name or "Imported workflow"
        made = propose(graph, object_info, name=name, workflow_id=brought.id or id_of(name))
    if brought.name and brought.manifest is not None:
        made = replace(made, name=Words(brought.name))
    return manifests.parse(manifests.spelled(made))


async def _free(call: Call, tx: Tx, owner: AccountId | None, workflow_id: str) -> str:
    """An id made of a name is nobody's yet."""
    for number in range(1, MOST_NAMED_ALIKE):
        tail = f"-{number}" if number > 1 else ""
        wanted = f"{workflow_id[: 64 - len(tail)]}{tail}"
        try:
            await service.versions(tx, owner, wanted)
        except WorkflowNotFound:
            if call.services.registry.current(call.caller.account_id, wanted) is None:
                return wanted
    raise service.WorkflowConflict(f"There are {MOST_NAMED_ALIKE} workflows called {workflow_id}: say an id.")


def _owner(call: Call, *, shared: bool) -> AccountId | None:
    """Whose workflow is meant. Raises Forbidden: everybody's are changed by admins alone."""
    if shared:
        require_admin(call)
    return None if shared else call.caller.account_id


def _asked_owner(request: Request, call: Call) -> AccountId | None:
    return _owner(call, shared=asked.flag("shared", request.query_params.get("shared"), default=False))


async def _newest(call: Call, owner: AccountId | None, workflow_id: str) -> Workflow:
    async with call.services.database.autocommit() as tx:
        return await service.newest(tx, owner, workflow_id)


async def _changed(call: Call) -> None:
    """Whoever changed something sees it at once, others a moment later."""
    call.services.wakeups.publish(TOPIC)
    await call.services.registry.refresh()


async def _shown(call: Call, draft: Workflow, notes: list[str]) -> dict[str, Any]:
    inventories = list(call.services.intake.fleet.inventories())
    known = {name for one in inventories for name in one.classes}
    lacked = {node["class_type"] for node in draft.graph.values()} - known if inventories else set[str]()
    faults = await asyncio.to_thread(checking.faults, draft.manifest, draft.graph, inventories)
    return {
        "workflow": _summary(call, draft),
        "manifest": manifests.spelled(draft.manifest),
        "graph": draft.graph,
        "notes": notes,
        "faults": [{"where": one.where, "what": one.what} for one in faults],
        "missing_nodes": sorted(lacked),
    }


def _summary(call: Call, workflow: Workflow) -> dict[str, Any]:
    look = call.services.readiness.look(call.services.intake.fleet)
    return workflows_wire.summary(workflow, workflows_wire.Shown(call.base, "en", look.runnable(workflow), None))
