"""The queue in figures: what waits and what runs, for what and for whom; and what ended long ago, deleted.

A member sees its account's part, an admin all of it.
"""

import dataclasses
import datetime as dt
import uuid
from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import APIRouter
from pydantic import Field, field_validator
from starlette.requests import Request
from starlette.responses import Response

from atelier.accounts import service as accounts
from atelier.accounts.model import Role
from atelier.dialects import asked, queue_wire
from atelier.dialects.auth import Call, Known, require_admin
from atelier.dialects.openapi import answer, json_body, refusals
from atelier.dialects.problems import ErrorEnvelope
from atelier.fleet.store import catalogs
from atelier.jobs import dead_letters, queue
from atelier.jobs.model import TERMINAL, JobState
from atelier.jobs.store import sweep
from atelier.jobs.store.stats import Group
from atelier.kit import clock, units
from atelier.kit.http.answers import json_response
from atelier.kit.ids import AccountId, JobId

router = APIRouter(prefix="/api/v1", tags=["queue"])

ENOUGH_SECONDS = 10.0
"""A clean-up of one request takes no longer; it says whether there is more."""

_ENDED = sorted(map(str, TERMINAL))

_TOP: dict[str, Any] = {
    "parameters": [asked.LIMIT | {"description": "Rows of each table, those with most jobs first."}]
}


class CleanUp(asked.Closed):
    """`older_than`: seconds since they ended, or a text like `7d`. `states`: only those that ended so.

    `cursor`: where the last answer stopped.
    """

    older_than: Annotated[float, Field(ge=0, le=3_660 * 86_400)] | str = Field(examples=["7d", 604_800])
    states: list[Annotated[str, Field(pattern=f"^({'|'.join(_ENDED)})$")]] = Field(default=_ENDED, min_length=1)
    cursor: str | None = Field(default=None, max_length=100)

    @field_validator("older_than")
    @classmethod
    def _seconds(cls, given: float | str) -> float:
        read = units.seconds(given)
        if not isinstance(read, int | float) or not 0 <= read <= 3_660 * 86_400:
            raise ValueError("write seconds, or a duration like 12h or 7d, of ten years at most")
        return float(read)


@router.get(
    "/queue", responses=answer(200, queue_wire.QueueShown) | refusals(ErrorEnvelope, 400), openapi_extra=_TOP
)
async def show_queue(request: Request, call: Known) -> Response:
    """Unfinished jobs per lane, requirement set, account and class, seconds old; the limits that are in force."""
    top = asked.limit(request.query_params.get("limit"))
    groups = _own(call, await call.services.figures.groups(call.services.database))
    by_requirement = queue.tallies(groups, lambda group: group.requirement_id)
    by_account = queue.tallies(groups, lambda group: group.account_id)
    async with call.services.database.autocommit() as tx:
        needs = await catalogs.requirements(tx, [each for each, _ in by_requirement[:top]])
        named = await accounts.accounts_by_id(tx, [each for each, _ in by_account[:top]])
        letters = (await dead_letters.page(tx, _scope(call), limit=1)).total
    now = clock.utcnow()
    spell = queue_wire.Speller(now, top, call.services.intake.fleet)
    return json_response(
        {
            "as_of": clock.rfc3339(now),
            "totals": spell.tally(queue.tally(groups)),
            "classes": spell.classes(queue.tallies(groups, lambda group: group.priority)),
            "lanes": spell.lanes(queue.tallies(groups, lambda group: group.lane)),
            "requirements": spell.requirements(by_requirement, needs),
            "accounts": spell.accounts(by_account, named),
            "left_out": spell.left_out(groups),
            "dead_letters": letters,
            "limits": dataclasses.asdict(call.services.limits),
            "eta_errors": dataclasses.asdict(call.services.outlook.errors()),
        }
    )


@router.post(
    "/queue/clean",
    responses=answer(200, queue_wire.Cleaned) | refusals(ErrorEnvelope, 400, 403, 413, 422),
    openapi_extra=json_body(CleanUp),
)
async def clean_queue(request: Request, call: Known) -> Response:
    """Delete jobs that ended long ago, with their outputs. Ask again with the answer's cursor until it is null.

    Open dead letters stay until somebody replays or discards them.
    """
    require_admin(call)
    wanted = await asked.read(request, CleanUp)
    states = [JobState(state) for state in wanted.states]
    deleted, mark, began = 0, _mark(wanted.cursor), clock.monotonic()
    while True:
        async with call.services.database.transaction() as tx:
            step = await sweep.clean(tx, older_than=float(wanted.older_than), states=states, mark=mark)
        deleted, mark = deleted + step.deleted, step.mark
        if mark is None or clock.monotonic() - began > ENOUGH_SECONDS:
            return json_response({"deleted": deleted, "cursor": _cursor(mark)})


def _cursor(mark: sweep.Mark | None) -> str | None:
    return f"{mark.keep_until.astimezone(dt.UTC).isoformat()}_{mark.job_id}" if mark else None


def _mark(cursor: str | None) -> sweep.Mark | None:
    """Raises InvalidQuery."""
    if cursor is None:
        return None
    moment, _, job_id = cursor.partition("_")
    try:
        return sweep.Mark(dt.datetime.fromisoformat(moment).astimezone(dt.UTC), JobId(uuid.UUID(job_id)))
    except (ValueError, OverflowError):
        raise asked.InvalidQuery("This cursor was not given by this API; start again without one.") from None


def _own(call: Call, groups: Sequence[Group]) -> Sequence[Group]:
    if call.caller.role is Role.ADMIN:
        return groups
    return [group for group in groups if group.account_id == call.caller.account_id]


def _scope(call: Call) -> AccountId | None:
    return None if call.caller.role is Role.ADMIN else call.caller.account_id
