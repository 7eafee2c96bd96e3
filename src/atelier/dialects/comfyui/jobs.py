"""The job API of ComfyUI's servers of 2026, which editors poll: one list of what waits, runs and has ended.

Its paths exist only below /api; /api/v1/jobs and /api/v2/jobs are other dialects' (wire contract 6).
"""

from dataclasses import dataclass
from typing import cast

from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import Response

from atelier.dialects.asked import InvalidQuery
from atelier.dialects.auth import Call
from atelier.dialects.comfyui import wire
from atelier.dialects.comfyui.commands import COMMAND_BYTES
from atelier.dialects.comfyui.control import wake
from atelier.dialects.comfyui.envelope import sentence
from atelier.dialects.comfyui.numbers import whole
from atelier.dialects.comfyui.routing import get, post
from atelier.jobs import native
from atelier.kit.http import bodies
from atelier.kit.http.answers import json_response
from atelier.kit.http.bodies import MalformedBody, is_object, parse_json
from atelier.kit.ids import parse_uuid

STATUSES = ("pending", "in_progress", "completed", "failed", "cancelled")
MOST_IDS = 1_000
_SORTS = ("created_at", "execution_duration")
_ORDERS = ("asc", "desc")


@dataclass(frozen=True, slots=True)
class _Asked:
    """What GET /api/jobs is asked for; `limit` None: all."""

    statuses: frozenset[str] | None
    by_duration: bool
    ascending: bool
    limit: int | None
    offset: int
    workflow_id: str | None


async def listing(request: Request, call: Call) -> Response:
    """Jobs of all dialects; how many there are in all, and whether more follow."""
    try:
        asked = _asked(request.query_params)
    except InvalidQuery as refusal:
        return sentence(refusal.message)
    async with call.services.database.autocommit() as tx:
        entries, total = await native.listing(
            tx,
            call.caller.account_id,
            statuses=asked.statuses,
            by_duration=asked.by_duration,
            ascending=asked.ascending,
            limit=asked.limit,
            offset=asked.offset,
            workflow_id=asked.workflow_id,
        )
    more = asked.offset + len(entries) < total
    page = {"offset": asked.offset, "limit": asked.limit, "total": total, "has_more": more}
    return json_response({"jobs": [wire.job_of(entry) for entry in entries], "pagination": page})


async def one(request: Request, call: Call) -> Response:
    """A job with its outputs, its status and its workflow."""
    async with call.services.database.autocommit() as tx:
        entry = await native.entry(tx, call.caller.account_id, request.path_params["job_id"])
    if entry is None or (entry.job.state.terminal and not entry.in_history):
        return sentence("Job not found", 404)
    return json_response(wire.job_of(entry, detail=True))


async def cancel(request: Request, call: Call) -> Response:
    """Stop it if it runs, take it out if it waits; `cancelled` false: it was neither."""
    return await _cancel(call, [request.path_params["job_id"]])


async def cancel_several(request: Request, call: Call) -> Response:
    """As many of `job_ids` as wait or run; others change nothing."""
    try:
        body = parse_json(await bodies.read(request, COMMAND_BYTES))
    except MalformedBody:
        return sentence("Request body must be valid JSON")
    listed = body.get("job_ids") if is_object(body) else None
    if not isinstance(listed, list):
        return sentence("job_ids must be a list")
    job_ids = list(map(str, cast("list[object]", listed)))
    if len(job_ids) > MOST_IDS:
        return sentence(f"job_ids may name {MOST_IDS} jobs at most")
    wrong = [job_id for job_id in job_ids if not parse_uuid(job_id)]
    if wrong:
        return sentence("job_ids contains invalid id(s)", invalid_ids=wrong)
    return await _cancel(call, job_ids)


async def assets(_: Request, __: Call) -> Response:
    """Editors look for this at ComfyUI's cloud; servers have no such thing."""
    return sentence("Job not found", 404)


async def _cancel(call: Call, prompt_ids: list[str]) -> Response:
    """One statement, one transaction: who locks several jobs at once would have to do it in everybody's order."""
    account = call.caller.account_id
    async with call.services.database.autocommit() as tx:
        stopped = await native.drop(tx, account, prompt_ids)
        for prompt_id in dict.fromkeys(prompt_ids):
            stopped += await native.interrupt(tx, account, prompt_id)
    wake(call, [account], stopped)
    return json_response({"cancelled": bool(stopped)})


def _asked(query: QueryParams) -> _Asked:
    """Raises InvalidQuery, in the words of ComfyUI's servers."""
    sort, order = query.get("sort_by", _SORTS[0]).lower(), query.get("sort_order", "desc").lower()
    statuses = _statuses(query.get("status"))
    if sort not in _SORTS:
        raise InvalidQuery("sort_by must be 'created_at' or 'execution_duration'")
    if order not in _ORDERS:
        raise InvalidQuery("sort_order must be 'asc' or 'desc'")
    limit = _integer("limit", query.get("limit"))
    if limit is not None and limit <= 0:
        raise InvalidQuery("limit must be a positive integer")
    return _Asked(
        statuses=statuses,
        by_duration=sort == "execution_duration",
        ascending=order == "asc",
        limit=limit,
        offset=max(_integer("offset", query.get("offset")) or 0, 0),
        workflow_id=_workflow(query.get("workflow_id")),
    )


def _statuses(text: str | None) -> frozenset[str] | None:
    """None: any; a list of nothing but commas names none."""
    if not text:
        return None
    wanted = [word for word in (part.strip().lower() for part in text.split(",")) if word]
    unknown = [word[:40] for word in wanted if word not in STATUSES]
    if unknown:
        raise InvalidQuery(f"Invalid status value(s): {', '.join(unknown)}. Valid values: {', '.join(STATUSES)}")
    return frozenset(wanted)


def _workflow(text: str | None) -> str | None:
    if text and "\0" in text:
        raise InvalidQuery("workflow_id must not contain the character U+0000")
    return text or None


def _integer(name: str, text: str | None) -> int | None:
    try:
        return whole(text)
    except ValueError:
        raise InvalidQuery(f"{name} must be an integer") from None


PREFIXED = [
    get("/api/jobs", listing),
    post("/api/jobs/cancel", cancel_several),
    get("/api/jobs/{job_id}", one),
    post("/api/jobs/{job_id}/cancel", cancel),
    get("/api/jobs/{job_id}/assets", assets),
]
