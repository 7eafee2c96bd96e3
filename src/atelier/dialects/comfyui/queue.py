"""GET /queue shows what runs and what waits, in the order in which it will run; POST takes waiting prompts out."""

import asyncio

from starlette.requests import Request
from starlette.responses import Response

from atelier.dialects.auth import Call
from atelier.dialects.comfyui import wire
from atelier.dialects.comfyui.commands import COMMAND_BYTES, ids_to_delete, parse_command
from atelier.dialects.comfyui.control import START_SECONDS, accounts_meant, may_have_begun, wake
from atelier.dialects.comfyui.long_lists import listed
from atelier.dialects.comfyui.routing import get, post
from atelier.jobs import native
from atelier.kit.http import bodies


async def show(_: Request, call: Call) -> Response:
    """Both lists hold tuples (wire contract 5); several prompts of an account can run at once."""
    async with call.services.database.autocommit() as tx:
        running, pending = await native.queue(tx, call.caller.account_id)
    shown = [",".join(map(wire.queue_tuple, entries)) for entries in (running, pending)]
    return listed(call, f'{{"queue_running":[{shown[0]}],"queue_pending":[{shown[1]}]}}')


async def change(request: Request, call: Call) -> Response:
    """`clear` takes all waiting prompts out, `delete` those that it names; what runs goes on. Always 200."""
    body = parse_command(await bodies.read(request, COMMAND_BYTES))
    named = None if body.get("clear") else ids_to_delete(body)
    if named == []:
        return Response()
    if await may_have_begun(call):
        await asyncio.sleep(START_SECONDS)
    async with call.services.database.transaction() as tx:
        meant = await accounts_meant(tx, request, call)
        dropped = [job_id for account in meant for job_id in await native.drop(tx, account, named)]
    wake(call, meant, dropped)
    return Response()


ROUTES = [get("/queue", show), post("/queue", change)]
