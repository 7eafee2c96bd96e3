"""A first picture with the official SDK, exactly as its users make one; nothing in here knows Atelier's inside.

It runs as a program of its own, with COMFY_BASE_URL and COMFY_API_KEY in its environment, as the SDK wants it.
"""

import argparse
import random
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from comfy_sdk import Comfy, ComfyError, Job, OutputReady, Progress, StatusChange
from rich.console import Console
from rich.progress import BarColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bars

Graph = dict[str, dict[str, Any]]
PROMPT = "a lighthouse on a cliff at dusk, oil painting, warm light"


def text_to_image(checkpoint: str, seed: int) -> Graph:
    """Stable Diffusion in seven nodes, as ComfyUI's own first example has it."""
    return {
        "1": _node("CheckpointLoaderSimple", ckpt_name=checkpoint),
        "2": _node("CLIPTextEncode", clip=["1", 1], text=PROMPT),
        "3": _node("CLIPTextEncode", clip=["1", 1], text="blurry, text, watermark"),
        "4": _node("EmptyLatentImage", width=512, height=512, batch_size=1),
        "5": _node(
            "KSampler",
            model=["1", 0],
            positive=["2", 0],
            negative=["3", 0],
            latent_image=["4", 0],
            seed=seed,
            steps=20,
            cfg=7.0,
            sampler_name="euler",
            scheduler="normal",
            denoise=1.0,
        ),
        "6": _node("VAEDecode", samples=["5", 0], vae=["1", 2]),
        "7": _node("SaveImage", images=["6", 0], filename_prefix="first"),
    }


def plain_image(seed: int) -> Graph:
    """A picture that every ComfyUI can make, also one without any model: one colour."""
    return {
        "1": _node("EmptyImage", width=512, height=512, batch_size=1, color=seed % 0xFFFFFF),
        "2": _node("SaveImage", images=["1", 0], filename_prefix="first"),
    }


def main() -> int:
    """0 when a picture was made. Standard output tells where it is and how long each stage took."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--checkpoint", default="")
    asked = parser.parse_args()
    seed = random.randrange(2**32)  # noqa: S311 - a picture, not a secret
    graph = text_to_image(asked.checkpoint, seed) if asked.checkpoint else plain_image(seed)
    try:
        _make(graph, asked.out)
    except KeyboardInterrupt:
        return 130
    except ComfyError as error:
        sys.stderr.write(f"the picture could not be made: {_reason(error)}\n")
        return 1
    return 0


def _make(graph: Graph, folder: Path) -> None:
    console = Console()
    stages: dict[str, float] = {}
    with Comfy() as client:
        began = time.monotonic()
        job = client.submit(client.workflows.from_json(graph))
        stages["accepted"] = time.monotonic() - began
        for stage, seconds in _watched(job, graph, console):
            stages[stage] = stages.get(stage, 0.0) + seconds
        began = time.monotonic()
        output = job.result().outputs[0]
        folder.mkdir(parents=True, exist_ok=True)
        picture = output.to_file(folder / f"{job.id}{Path(output.name).suffix}")
        stages["fetched"] = time.monotonic() - began
    console.print(f"picture  {picture.absolute()}", soft_wrap=True, highlight=False, markup=False)
    took = ", ".join(f"{stage} {seconds * 1000:.0f} ms" for stage, seconds in stages.items())
    console.print(f"stages   {took}", soft_wrap=True, highlight=False, markup=False)


def _reason(error: ComfyError) -> str:
    """The SDK's sentence, and what the job itself says went wrong."""
    detail = getattr(getattr(error, "error", None), "message", "")
    return f"{error}: {detail}" if detail else str(error)


def _watched(job: Job, graph: Graph, console: Console) -> Iterator[tuple[str, float]]:
    """Show the job's events as they come; gives how long it waited and how long it ran."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} %"),
        TimeElapsedColumn(),
    )
    with Bars(*columns, console=console, transient=True, disable=not console.is_terminal) as bars:
        bar = bars.add_task("waiting", total=1.0)
        stage, since = "waited", time.monotonic()
        for event in job.events():
            _show(bars, bar, event, graph)
            started = (
                isinstance(event, StatusChange | Progress) and getattr(event, "status", "running") == "running"
            )
            if started and stage == "waited":
                yield stage, time.monotonic() - since
                stage, since = "ran", time.monotonic()
        yield stage, time.monotonic() - since


def _show(bars: Bars, bar: TaskID, event: object, graph: Graph) -> None:
    match event:
        case Progress(value=value, current_node=node, step=step, steps=steps):
            where = str(graph[node]["class_type"]) if node in graph else "running"
            bars.update(bar, completed=value, description=f"{where}, step {step}/{steps}" if steps else where)
        case StatusChange(status=status):
            bars.update(bar, description=status)
        case OutputReady():
            bars.update(bar, completed=1.0, description="picture ready")
        case _:
            pass


def _node(class_type: str, **inputs: object) -> dict[str, Any]:
    return {"class_type": class_type, "inputs": inputs}


if __name__ == "__main__":
    sys.exit(main())
