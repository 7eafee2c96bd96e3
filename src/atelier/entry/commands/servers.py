"""The ComfyUI servers of the fleet: who is there and how it fares, one more, one less."""

import sys
from typing import Annotated, Any

from cyclopts import App, Parameter

from atelier.entry.commands import process
from atelier.entry.commands.options import Script, State
from atelier.entry.commands.printing import as_json, print_line, rows
from atelier.entry.reachable import trouble_of
from atelier.entry.state import database
from atelier.entry.wake import wake
from atelier.fleet import service as fleet
from atelier.fleet.model import Server
from atelier.fleet.store.leasing import dispatchers_alive
from atelier.kit.errors import Refusal
from atelier.kit.ids import ServerId

servers = App(name="servers")


@servers.command(name="list")
def list_servers(*, script: Script = False, state: State = None) -> None:
    """List the servers and how they fare."""

    async def show() -> None:
        async with (
            database(process.start(state_dir=state), process.announce) as opened,
            opened.transaction() as tx,
        ):
            found = await fleet.servers(tx)
            watched = await dispatchers_alive(tx)
        rows(
            [_row(each) if script else _line(each) for each in found],
            script=script,
            nothing="There is no server yet: atelier servers add URL",
        )
        if found and not watched:
            sys.stderr.write("No dispatcher runs: this is how the servers were when one last looked.\n")

    process.run(show())


@servers.command
def add(
    url: Annotated[str, Parameter(help="Its address, like http://192.168.1.20:8188.")],
    *,
    server_id: Annotated[str | None, Parameter(name="--id", help="A name for it; else its host and port.")] = None,
    header: Annotated[
        tuple[str, ...], Parameter(help="'Name: value', sent with every request to it; may be repeated.")
    ] = (),
    script: Script = False,
    state: State = None,
) -> None:
    """Add a server, or change the one of that id; running dispatchers take it at once."""

    async def put() -> None:
        settings = process.start(state_dir=state)
        async with database(settings, process.announce) as opened:
            async with opened.transaction() as tx:
                chosen = await fleet.add(tx, url, server_id=server_id, headers=dict(map(_header, header)))
                [server] = [each for each in await fleet.servers(tx) if each.id == chosen]
            await wake(opened, "fleet")
        if script:
            as_json({"id": chosen, "url": server.url})
        else:
            print_line(f"added {chosen} at {server.url}")
            if trouble := await trouble_of(settings, server.url, server.headers):
                sys.stderr.write(f"It does not answer yet ({trouble}): it is used as soon as it does.\n")

    process.run(put())


@servers.command
def remove(
    server_id: Annotated[str, Parameter(help="Its id, as `servers list` shows it.")], *, state: State = None
) -> None:
    """Take a server out of the fleet; what it runs moves to the others."""

    async def take_out() -> None:
        async with database(process.start(state_dir=state), process.announce) as opened:
            async with opened.transaction() as tx:
                await fleet.remove(tx, ServerId(server_id))
            await wake(opened, "fleet")
        print_line(f"removed {server_id}")

    process.run(take_out())


def _header(text: str) -> tuple[str, str]:
    name, colon, value = text.partition(":")
    if not colon or not name.strip():
        raise Refusal(f"write a header like 'Authorization: Bearer abc', not {text!r}")
    return name.strip(), value.strip()


def _line(server: Server) -> dict[str, Any]:
    """All servers are enabled, mostly: that one is not is what is worth a column."""
    return _row(server) | {"enabled": None if server.enabled else "no"}


def _row(server: Server) -> dict[str, Any]:
    return {
        "id": server.id,
        "url": server.url,
        "health": str(server.health),
        "since": server.health_at,
        "reason": server.health_reason,
        "named_by": str(server.origin),
        "enabled": server.enabled,
    }
