"""`up` and `demo`: everything on this machine; ready is said once, when a job can be taken."""

import asyncio
import os
import sys
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from atelier.entry.commands import process
from atelier.entry.commands.options import NO_BIND, Bind, Comfyui, KeyFile, Port, Simulate, State
from atelier.entry.commands.printing import as_json, print_line
from atelier.entry.first_key import FILE, write_private
from atelier.entry.settings import Settings
from atelier.entry.wiring import Running, running
from atelier.webui.editor_files import installed


def up(
    *,
    script: Annotated[
        bool, Parameter(name="--json", help="Standard output carries one line of JSON, when jobs can be taken.")
    ] = False,
    port: Port = None,
    simulate: Simulate = None,
    comfyui: Comfyui = None,
    state: State = None,
    key_file: KeyFile = None,
    bind: Bind = NO_BIND,
) -> None:
    """Start everything on this machine and stay until Ctrl-C or SIGTERM.

    PostgreSQL is embedded unless ATELIER_DATABASE_URL names one; servers are simulated unless real ones are named.
    """
    settings = process.start(
        port=port,
        simulate=simulate,
        comfyui_urls=comfyui,
        state_dir=state,
        bind_key_file=bind.key,
        bind_port=bind.port,
    )
    process.run(_up(settings, key_file, script=script))


def demo(
    *,
    once: Annotated[bool, Parameter(help="End after the picture.")] = False,
    port: Port = None,
    simulate: Simulate = None,
    comfyui: Comfyui = None,
    state: State = None,
    out: Annotated[Path, Parameter(help="Folder for the picture.")] = Path("out"),
) -> None:
    """Start everything on this machine, make a first picture with the official SDK, stay until Ctrl-C."""
    from atelier.entry.demo import show

    settings = process.start(quiet=True, port=port, simulate=simulate, comfyui_urls=comfyui, state_dir=state)
    process.run(show(settings, out, once=once))


async def _up(settings: Settings, key_file: Path | None, *, script: bool) -> None:
    async with running(settings, announce=process.announce) as atelier:
        if key_file is not None:
            write_private(key_file, atelier.key)
        if script:
            as_json(_ready(atelier))
        else:
            _tell(atelier, key_file or settings.state_dir / FILE)
        await asyncio.Event().wait()


def _ready(atelier: Running) -> dict[str, object]:
    servers = [{"id": server.id, "url": server.url} for server in atelier.servers]
    return {"ready": True, "url": atelier.url, "servers": servers, "pid": os.getpid()}


def _tell(atelier: Running, key_file: Path) -> None:
    """The key is shown to a person at a terminal; a journal gets the name of its file."""
    print_line(f"Atelier takes jobs at {atelier.url}")
    print_line(f"key      {atelier.key if sys.stdout.isatty() else key_file}")
    if installed() is not None:
        print_line(f"editor   {atelier.url}/comfy/")
    for server in atelier.servers:
        print_line(f"server   {server.id} at {server.url}")
    if not atelier.servers:
        print_line("server   none yet, so jobs wait: atelier servers add URL")
    print_line("Ctrl-C stops it.")
