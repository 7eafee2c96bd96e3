"""GET /history shows how prompts ended, the oldest first; POST removes entries from what the native API shows."""

from collections.abc import Iterable

from starlette.requests import Request
from starlette.responses import Response

from atelier.dialects.asked import InvalidQuery
from atelier.dialects.auth import Call
from atelier.dialects.comfyui import wire
from atelier.dialects.comfyui.commands import COMMAND_BYTES, ids_to_delete, parse_command
from atelier.dialects.comfyui.long_lists import listed
from atelier.dialects.comfyui.numbers import whole
from atelier.dialects.comfyui.routing import get, post
from atelier.jobs import native
from atelier.jobs.native import Entry
from atelier.kit.http import bodies


async def listing(request: Request, call: Call) -> Response:
    """`max_items` alone means the last ones; `offset` counts from the oldest (wire contract 5)."""
    most, offset = _asked(request, "max_items"), _asked(request, "offset")
    async with call.services.database.autocommit() as tx:
        entries = await native.history(tx, call.caller.account_id, max_items=most, offset=offset)
    return _shown(call, entries)


async def one(request: Request, call: Call) -> Response:
    """The entry under its id, or `{}`: unknown, waiting and running prompts have none yet."""
    async with call.services.database.autocommit() as tx:
        entry = await native.entry(tx, call.caller.account_id, request.path_params["prompt_id"])
    return _shown(call, [entry] if entry and entry.in_history else [])


async def change(request: Request, call: Call) -> Response:
    """`clear` removes all, `delete` those that it names; jobs and files stay, other dialects still show them."""
    body = parse_command(await bodies.read(request, COMMAND_BYTES))
    named = None if body.get("clear") else ids_to_delete(body)
    if named != []:
        async with call.services.database.transaction() as tx:
            await native.forget(tx, call.caller.account_id, named)
        call.services.wakeups.publish(f"account:{call.caller.account_id}")
    return Response()


def _shown(call: Call, entries: Iterable[Entry]) -> Response:
    shown = ",".join(f'"{entry.prompt_id}":{wire.history_entry(entry)}' for entry in entries)
    return listed(call, f"{{{shown}}}")


def _asked(request: Request, name: str) -> int | None:
    """Raises InvalidQuery, where ComfyUI answers 500."""
    try:
        return whole(request.query_params.get(name))
    except ValueError:
        raise InvalidQuery(f"{name} must be a whole number.") from None


ROUTES = [get("/history/{prompt_id}", one), get("/history", listing), post("/history", change)]
