"""What stops runs and empties servers reaches no further than the asker's own account.

ComfyUI's /interrupt and /queue mean everybody's prompts. Here they mean the account's; an admin's key means those
of all accounts when it says `?account=all`.
"""

import asyncio
from collections.abc import Iterable, Sequence

from starlette.requests import Request
from starlette.responses import Response

from atelier.accounts.model import Role
from atelier.dialects.auth import Call, require_admin
from atelier.dialects.comfyui.commands import COMMAND_BYTES, parse_lenient
from atelier.dialects.comfyui.routing import post
from atelier.fleet import service as fleet
from atelier.jobs import native
from atelier.jobs.model import JobState
from atelier.jobs.store import stats
from atelier.kit.database import Tx
from atelier.kit.http import bodies
from atelier.kit.ids import AccountId, JobId

START_SECONDS = 0.2
"""A client can hear that its prompt runs so long before that is written down."""

TRIES = 8
"""To stop what may have begun; a prompt that a busy server only holds does not begin."""


async def interrupt(request: Request, call: Call) -> Response:
    """Stop the named prompt if it runs, or all that run; what waits is not meant. Always 200."""
    body = parse_lenient(await bodies.read(request, COMMAND_BYTES))
    prompt_id = str(body.get("prompt_id") or "") or None
    held = await _held(call, prompt_id)
    stopped = await _interrupt(request, call, prompt_id)
    if held and not (stopped and await _was_running(call, stopped)):
        await _interrupt_soon(request, call, held)
    return Response()


async def _was_running(call: Call, stopped: Sequence[JobId]) -> bool:
    """Whether a server was still at work on any of these, or is after a while.

    A run whose files are being fetched counts as running here, and its server may be at the next one already.
    """
    for _ in range(TRIES):
        async with call.services.database.autocommit() as tx:
            broken_off = await native.broken_off(tx, stopped)
        if True in broken_off.values():
            return True
        if None not in broken_off.values():
            return False
        await asyncio.sleep(START_SECONDS)
    return True


async def _interrupt_soon(request: Request, call: Call, held: Sequence[str]) -> None:
    """What a server held when the request came may have begun already; what comes later is never meant."""
    for _ in range(TRIES):
        if not held:
            return
        await asyncio.sleep(START_SECONDS)
        # Read before it is tried: what begins between the two is tried now, what begins later the next time.
        still = await _held(call, None)
        if any([await _interrupt(request, call, prompt_id) for prompt_id in held]):
            return
        held = [prompt_id for prompt_id in held if prompt_id in still]


async def may_have_begun(call: Call) -> bool:
    """Whether a server holds a prompt of the account, of which it is not written yet that it runs."""
    return bool(await _held(call, None))


async def _held(call: Call, prompt_id: str | None) -> list[str]:
    """The account's prompts of which that can be said, or the named one if it is among them."""
    async with call.services.database.autocommit() as tx:
        live = await native.live(tx, call.caller.account_id)
    return [
        one.prompt_id
        for one in live
        if one.state is JobState.CLAIMED and (prompt_id is None or one.prompt_id == prompt_id)
    ]


async def _interrupt(request: Request, call: Call, prompt_id: str | None) -> list[JobId]:
    """What was stopped."""
    async with call.services.database.transaction() as tx:
        meant = await accounts_meant(tx, request, call)
        stopped = [job_id for account in meant for job_id in await native.interrupt(tx, account, prompt_id)]
    wake(call, meant, stopped)
    return stopped


async def free(request: Request, call: Call) -> Response:
    """An admin's key has all servers give back memory, each when it is idle; another's changes nothing.

    Always 200: clients ask this before every large model, whether or not it is theirs to ask.
    """
    body = parse_lenient(await bodies.read(request, COMMAND_BYTES))
    models, memory = bool(body.get("unload_models")), bool(body.get("free_memory"))
    if call.caller.role is Role.ADMIN and (models or memory):
        async with call.services.database.transaction() as tx:
            await fleet.ask_free(tx, unload_models=models, free_memory=memory)
        call.services.wakeups.publish("free")
    return Response()


async def accounts_meant(tx: Tx, request: Request, call: Call) -> list[AccountId]:
    """Whose prompts the request is about: the caller's; with `?account=all` everybody's. Raises Forbidden."""
    if request.query_params.get("account") != "all":
        return [call.caller.account_id]
    require_admin(call)
    return list(dict.fromkeys(group.account_id for group in await stats.groups(tx)))


def wake(call: Call, accounts: Iterable[AccountId], job_ids: Iterable[JobId]) -> None:
    """Tell those who wait on these jobs, after the commit."""
    told = [f"job:{job_id}" for job_id in job_ids]
    if not told:
        return
    for topic in (*told, "cancel", *(f"account:{account}" for account in accounts)):
        call.services.wakeups.publish(topic)


ROUTES = [post("/interrupt", interrupt), post("/free", free)]
