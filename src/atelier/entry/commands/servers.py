"""The ComfyUI servers of the fleet: who is there and how it fares; more, fewer, drained, switched off, probed."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from cyclopts import App, Parameter
from cyclopts.validators import Number

from atelier.dialects import servers_wire
from atelier.entry.commands import process, server_rows
from atelier.entry.commands.leftovers import leftovers
from atelier.entry.commands.opening import (
    count_or_default,
    opened,
    seconds_or_default,
    transaction,
)
from atelier.entry.commands.options import Script, State
from atelier.entry.commands.printing import as_json, print_line, rows
from atelier.entry.reachable import trouble_of
from atelier.entry.wake import wake
from atelier.fleet import service as fleet
from atelier.fleet.store import catalogs
from atelier.fleet.store.leasing import dispatchers_alive
from atelier.kit.errors import Refusal
from atelier.kit.ids import ServerId

servers = App(name="servers")
servers.command(leftovers)

_A_SHARE = Number(gt=0, lte=1)

ServerName = Annotated[str, Parameter(help="Its id, as `servers list` shows it.")]
Headers = Annotated[
    tuple[str, ...],
    Parameter(name="--header", help="'Name: value', sent with every request to it; may be repeated."),
]


@Parameter(name="*")
@dataclass(frozen=True)
class Terms:
    """What a server may, where it is not the usual."""

    share: Annotated[
        float | None,
        Parameter(help="Below 1: a canary, which takes only this part of its turns.", validator=_A_SHARE),
    ] = None
    max_per_minute: Annotated[
        str | None, Parameter(help="Jobs that it may begin in a minute; 0: no limit, 'default': the setting's.")
    ] = None
    run_timeout: Annotated[
        str | None, Parameter(help="How long any run there may take, like 90s or 10m; 'default': the setting's.")
    ] = None

    def said(self) -> dict[str, Any]:
        """Those that were said, as the fleet takes them. Raises Refusal."""
        found: dict[str, Any] = {}
        if self.share is not None:
            found["share"] = self.share
        if self.max_per_minute is not None:
            found["max_per_minute"] = count_or_default(self.max_per_minute)
        if self.run_timeout is not None:
            found["run_timeout"] = seconds_or_default(self.run_timeout)
        return found


_USUAL = Terms()


@servers.command(name="list")
def list_servers(*, script: Script = False, state: State = None) -> None:
    """List the servers and how they fare."""

    async def show() -> None:
        async with transaction(state) as tx:
            found = await fleet.seen(tx)
            watched = await dispatchers_alive(tx)
        rows(
            [servers_wire.shown(each, {}) if script else server_rows.line(each) for each in found],
            script=script,
            nothing="There is no server yet: atelier servers add URL",
        )
        if found and not watched:
            sys.stderr.write("No dispatcher runs: this is how the servers were when one last looked.\n")

    process.run(show())


@servers.command
def show(server: ServerName, /, *, script: Script = False, state: State = None) -> None:
    """Show one server: what it has, what it does, what happened to it."""

    async def tell() -> None:
        async with transaction(state) as tx:
            one = await fleet.seen_one(tx, ServerId(server))
            events = await fleet.events(tx, one.server.id)
            known = await catalogs.inventories(tx, {one.server.inventory_digest or b""})
        whole = servers_wire.detailed(one, events, {each.digest: each for each in known})
        if script:
            as_json(whole)
        else:
            server_rows.tell(one, events, whole["node_packs"])

    process.run(tell())


@servers.command
def add(
    url: Annotated[str, Parameter(help="Its address, like http://192.168.1.20:8188.")],
    *,
    server_id: Annotated[str | None, Parameter(name="--id", help="A name for it; else its host and port.")] = None,
    header: Headers = (),
    terms: Terms = _USUAL,
    disabled: Annotated[bool, Parameter(help="Add it switched off.")] = False,
    script: Script = False,
    state: State = None,
) -> None:
    """Add a server, or change the one of that id; running dispatchers take it at once."""

    async def put() -> None:
        said = terms.said() | ({"enabled": False} if disabled else {})
        async with opened(state) as (settings, found):
            async with found.transaction() as tx:
                headers = dict(map(_header, header))
                chosen = await fleet.add(tx, url, server_id=server_id, headers=headers, terms=said)
                server = (await fleet.seen_one(tx, chosen)).server
            await wake(found, "fleet")
        if script:
            as_json({"id": chosen, "url": server.url})
        else:
            print_line(f"added {chosen} at {server.url}")
            if trouble := await trouble_of(settings, server.url, server.headers):
                sys.stderr.write(f"It does not answer yet ({trouble}): it is used as soon as it does.\n")

    process.run(put())


@servers.command(name="set")
def set_server(
    server: ServerName,
    /,
    *,
    url: Annotated[str | None, Parameter(name="--url", help="Its new address.")] = None,
    header: Headers = (),
    terms: Terms = _USUAL,
    state: State = None,
) -> None:
    """Change a server's address, headers (all of them) or limits, while it runs."""
    wanted = terms.said()
    if url is not None:
        wanted["url"] = url
    if header:
        wanted["headers"] = dict(map(_header, header))
    if not wanted:
        raise Refusal("say what to change: --url, --header, --share, --max-per-minute or --run-timeout")
    _change(server, wanted, state, "changed")


@servers.command
def drain(server: ServerName, /, *, state: State = None) -> None:
    """Let a server end what it runs and take no more, until `servers resume`."""
    _change(server, {"drain": True}, state, "draining: it ends what it runs and takes no more")


@servers.command
def resume(server: ServerName, /, *, state: State = None) -> None:
    """Let a drained server take jobs again."""
    _change(server, {"drain": False}, state, "takes jobs again")


@servers.command
def disable(server: ServerName, /, *, state: State = None) -> None:
    """Switch a server off: it takes no more, and nobody watches it once it has ended what it runs."""
    _change(server, {"enabled": False}, state, "switched off")


@servers.command
def enable(server: ServerName, /, *, state: State = None) -> None:
    """Switch a server on again."""
    _change(server, {"enabled": True}, state, "switched on")


@servers.command
def probe(server: ServerName, /, *, state: State = None) -> None:
    """Have a server looked at now; a quarantined one comes back when its probe graph succeeds."""

    async def ask() -> None:
        async with opened(state) as (_, found):
            async with found.transaction() as tx:
                what = await fleet.ask_probe(tx, ServerId(server))
            await wake(found, "fleet")
        print_line(what)

    process.run(ask())


@servers.command
def remove(server: ServerName, /, *, state: State = None) -> None:
    """Take a server out of the fleet; what it runs ends first."""

    async def take_out() -> None:
        async with opened(state) as (_, found):
            async with found.transaction() as tx:
                await fleet.remove(tx, ServerId(server))
            await wake(found, "fleet")
        print_line(f"removed {server}")

    process.run(take_out())


def _change(server: str, to: fleet.Changes, state: Path | None, said: str) -> None:
    async def change() -> None:
        async with opened(state) as (_, found):
            async with found.transaction() as tx:
                await fleet.change(tx, ServerId(server), to)
            await wake(found, "fleet")
        print_line(f"{server}: {said}")

    process.run(change())


def _header(text: str) -> tuple[str, str]:
    name, colon, value = text.partition(":")
    if not colon or not name.strip():
        raise Refusal(f"write a header like 'Authorization: Bearer abc', not {text!r}")
    return name.strip(), value.strip()
