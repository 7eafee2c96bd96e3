"""What a request would cost and when it would begin; nothing is fetched, written or started for it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from atelier.accounts.model import DEFAULT_PRIORITY, Caller
from atelier.fleet.model import Party, Waiting
from atelier.fleet.requirements import digest_of
from atelier.fleet.view import NobodyCanRun
from atelier.intake.asking import Asked
from atelier.intake.generation import MILLI, Generation, Understood
from atelier.intake.inputs import Receipts
from atelier.intake.named_files import Stored
from atelier.intake.service import Judged, Order
from atelier.jobs.outlook import Outlook, Prospect
from atelier.jobs.survey import Supposed
from atelier.kit.ids import JobId, new_uuid
from atelier.workflows.model import Workflow

LAST_POSITION = 2**62
"""Behind all jobs that there are."""


@dataclass(frozen=True, slots=True)
class Quote:
    """`price` in credits. `begins_in`, `runs_for`: seconds, None where nobody can know.

    `runnable` None: no server has told what it has. `missing`: what a server would have to have, where none can.
    """

    workflow: Workflow
    price: float
    runnable: bool | None
    position: int | None = None
    begins_in: float | None = None
    runs_for: float | None = None
    missing: Mapping[str, Any] | None = None
    reason: str = ""


async def quote(generation: Generation, outlook: Outlook, caller: Caller, asked: Asked) -> Quote:
    """Raises what `Generation.submit` raises of the request itself; files at addresses are not looked at."""
    understood = await generation.understood(caller, asked)
    await _check_stored(generation, caller, understood)
    order = generation.order(understood, asked)
    price = order.price / MILLI
    try:
        judged = await generation.intake.judged(order)
    except NobodyCanRun as refusal:
        missing = refusal.details or {}
        return Quote(understood.workflow, price, runnable=False, missing=missing, reason=refusal.message)
    known = any(True for _ in generation.intake.fleet.inventories())
    prospect = await _prospect(generation, outlook, caller, order, judged)
    seconds = await generation.registry.averages([judged.needs.shape])
    return Quote(
        understood.workflow,
        price,
        runnable=True if known else None,
        position=prospect.position,
        begins_in=prospect.eta_seconds,
        runs_for=seconds.get(judged.needs.shape),
    )


async def _check_stored(generation: Generation, caller: Caller, understood: Understood) -> None:
    """Assets that are named must be there. Raises InvalidInput."""
    stored = {
        name: [one for one in several if isinstance(one, Stored)] for name, several in understood.files.items()
    }
    await generation.inputs.all(caller.account_id, stored, Receipts())


async def _prospect(
    generation: Generation, outlook: Outlook, caller: Caller, order: Order, judged: Judged
) -> Prospect:
    requirement = judged.needs.requirement
    waiting = Waiting(
        job_id=JobId(new_uuid()),
        requirement_id=-1 - int.from_bytes(digest_of(requirement)[:6], "big"),
        lane=judged.needs.lane,
        shape=judged.needs.shape,
        party=Party(
            min(order.priority or DEFAULT_PRIORITY, caller.max_priority), caller.account_id, caller.end_user
        ),
        position=LAST_POSITION,
    )
    async with generation.intake.database.autocommit() as tx:
        return await outlook.would(tx, Supposed(waiting, requirement))
