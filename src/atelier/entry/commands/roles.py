"""One role per process, for installations that are larger than one machine; each stops in order on SIGTERM."""

import asyncio
import contextlib

from atelier.entry import wiring
from atelier.entry.commands import process
from atelier.entry.commands.options import NO_BIND, Bind, Comfyui, Host, Port, State
from atelier.entry.commands.printing import print_line


def serve(*, host: Host = None, port: Port = None, state: State = None, bind: Bind = NO_BIND) -> None:
    """Serve the API; any number of replicas may share one PostgreSQL."""
    settings = process.start(host=host, port=port, state_dir=state, bind_key_file=bind.key, bind_port=bind.port)

    async def stay() -> None:
        async with wiring.serving(settings, announce=process.announce) as url:
            print_line(f"Atelier's API listens at {url}")
            await asyncio.Event().wait()

    process.run(stay())


def dispatch(*, comfyui: Comfyui = None, state: State = None) -> None:
    """Lease servers and run jobs on them; any number of dispatchers share the fleet.

    Servers named by --comfyui are driven by this dispatcher alone: they belong to its name
    (ATELIER_DISPATCHER_NAME, else the machine's), and several machines may each name http://127.0.0.1:8188.
    Those of ATELIER_COMFYUI_URLS are everybody's.
    """
    settings = process.start(comfyui_urls=comfyui, state_dir=state)
    role = wiring.dispatching(settings, announce=process.announce, private=comfyui is not None)
    process.run(_stay(role, "The dispatcher drives servers"))


def tasks(*, state: State = None) -> None:
    """Run background and periodic tasks."""
    settings = process.start(state_dir=state)
    process.run(_stay(wiring.working(settings, announce=process.announce), "Background tasks run"))


async def _stay(role: contextlib.AbstractAsyncContextManager[object], said: str) -> None:
    async with role:
        print_line(f"{said}; Ctrl-C stops it.")
        await asyncio.Event().wait()
