"""The command `atelier simulate` with plain arguments: it serves until it is cancelled."""

from collections.abc import Callable
from pathlib import Path

from atelier.simulator.config import CHECKPOINTS, SimulatorConfig
from atelier.simulator.server import serve


async def run(  # noqa: PLR0913 - one argument for each option of the command
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    directory: Path | None = None,
    step_seconds: float = 0.0,
    load_seconds: float = 0.0,
    load_seconds_per_gb: float = 0.0,
    vram_gb: float = 24.0,
    checkpoints: tuple[str, ...] = CHECKPOINTS,
    without_nodes: tuple[str, ...] = (),
    previews: bool = False,
    control: bool = False,
    seed: int = 0,
    ready: Callable[[str, int], None] = lambda _host, _port: None,
) -> None:
    """Serve one simulated ComfyUI. `port` 0 takes a free one; `ready(host, port)` is called with the real one.

    Times in seconds. `directory` None: a temporary folder, removed at the end. Raises OSError for a taken port.
    """
    config = SimulatorConfig(
        directory=directory,
        step_seconds=step_seconds,
        load_seconds=load_seconds,
        load_seconds_per_gb=load_seconds_per_gb,
        vram_gb=vram_gb,
        checkpoints=checkpoints,
        without_nodes=without_nodes,
        previews=previews,
        control=control,
        seed=seed,
    )
    await serve(config, host, port, ready=ready)
