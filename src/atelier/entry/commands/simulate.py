"""`atelier simulate` is one simulated ComfyUI server in a process of its own."""

import asyncio
import os
import stat
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from atelier.entry.commands import process
from atelier.entry.commands.options import A_PORT, Script
from atelier.entry.commands.printing import as_json, print_line
from atelier.entry.listening import refused
from atelier.kit.errors import SetupFailed
from atelier.simulator.config import CHECKPOINTS, NODE_PACKS, SimulatorConfig
from atelier.simulator.server import serve


@Parameter(name="*")
@dataclass(frozen=True)
class What:
    """What the server is like."""

    directory: Annotated[Path | None, Parameter(help="Folder of its files; else a temporary one.")] = None
    step_seconds: Annotated[float, Parameter(help="How long a sampling step takes.")] = 0.0
    load_seconds: Annotated[float, Parameter(help="How long any model takes to load.")] = 0.0
    load_seconds_per_gb: Annotated[float, Parameter(help="How much longer for each GiB of it.")] = 0.0
    vram_gb: Annotated[float, Parameter(help="Memory that loaded models share, in GiB.")] = 24.0
    checkpoint: Annotated[tuple[str, ...], Parameter(help="A checkpoint it has; may be repeated; '': none.")] = (
        CHECKPOINTS
    )
    without_node: Annotated[tuple[str, ...], Parameter(help="A node class it lacks; may be repeated.")] = ()
    node_pack: Annotated[
        tuple[str, ...], Parameter(help="A real pack whose nodes it has; may be repeated; '': none.")
    ] = NODE_PACKS
    pack: Annotated[tuple[str, ...], Parameter(help="A made-up pack of nodes it has; may be repeated.")] = ()
    previews: Annotated[bool, Parameter(help="Send preview pictures while it samples.")] = False
    faults: Annotated[bool, Parameter(help="Open the routes that switch faults on.")] = False

    def config(self) -> SimulatorConfig:
        return SimulatorConfig(
            directory=self.directory,
            step_seconds=self.step_seconds,
            load_seconds=self.load_seconds,
            load_seconds_per_gb=self.load_seconds_per_gb,
            vram_gb=self.vram_gb,
            checkpoints=tuple(filter(None, self.checkpoint)),
            without_nodes=self.without_node,
            node_packs=_known(self.node_pack),
            packs=self.pack,
            previews=self.previews,
            control=self.faults,
        )


def _known(packs: tuple[str, ...]) -> tuple[str, ...]:
    """Those packs without the empty name. Raises SetupFailed for one that nothing here can run."""
    for name in packs:
        if name and name not in NODE_PACKS:
            raise SetupFailed(f"no pack {name!r} can be simulated: there are {', '.join(NODE_PACKS)}")
    return tuple(filter(None, packs))


_AS_ASKED = What()


def simulate(
    *,
    what: What = _AS_ASKED,
    host: Annotated[str, Parameter(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, Parameter(help="Port to listen on; 0 takes any free one.", validator=A_PORT)] = 8188,
    with_parent: Annotated[bool, Parameter(help="End when standard input is closed.")] = False,
    script: Script = False,
) -> None:
    """Serve the native API of one ComfyUI server without a GPU; what its model nodes draw says SIMULATED."""
    process.start()
    process.run(_simulate(what.config(), host, port, script=script, with_parent=with_parent))


async def _simulate(config: SimulatorConfig, host: str, port: int, *, script: bool, with_parent: bool) -> None:
    def ready(listens_on: str, real_port: int) -> None:
        url = f"http://{listens_on}:{real_port}"
        if script:
            as_json({"ready": True, "url": url, "pid": os.getpid()})
        else:
            print_line(f"A simulated ComfyUI listens at {url}")

    try:
        async with asyncio.TaskGroup() as group:
            serving = group.create_task(serve(config, host=host, port=port, ready=ready))
            if with_parent:
                await _until_orphaned()
                serving.cancel()
    except* OSError as group_of_errors:
        error = group_of_errors.exceptions[0]
        raise (refused(host, port, error) if isinstance(error, OSError) else SetupFailed(str(error))) from error


async def _until_orphaned() -> None:
    """Standard input is a pipe from the parent: it ends with it, also when the parent was killed."""
    mode = os.fstat(sys.stdin.fileno()).st_mode
    if not stat.S_ISFIFO(mode) and not stat.S_ISSOCK(mode):
        raise SetupFailed("--with-parent needs a pipe as standard input: leave it out, or start it from a program")
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while await reader.read(1024):
        pass
