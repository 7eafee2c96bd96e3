"""The demo is everything that `up` starts, two pictures as programs ask for them, and what to try next."""

import asyncio
import contextlib
import importlib.util
import sys
from collections.abc import Sequence
from pathlib import Path

import aiohttp
from rich.console import Console

from atelier.entry.first_key import FILE
from atelier.entry.settings import Settings, child_environment
from atelier.entry.wiring import Running, running
from atelier.kit.clock import monotonic
from atelier.kit.errors import SetupFailed

PICTURE_SECONDS = 900.0
STOP_SECONDS = 3.0
LIST_SECONDS = 30.0
PROMPT = "a lighthouse on a cliff at dusk, oil painting, warm light"
GRAPH = (
    '{"workflow": {"1": {"class_type": "EmptyImage", "inputs": {"width": 64, "height": 64, "batch_size": 1,'
    ' "color": 16711680}}, "2": {"class_type": "SaveImage", "inputs": {"images": ["1", 0],'
    ' "filename_prefix": "red"}}}}'
)


async def show(settings: Settings, out: Path, *, once: bool) -> None:
    """Start, make a picture into `out`, tell; then stay until stopped, or end when `once`. Raises SetupFailed."""
    if importlib.util.find_spec("comfy_sdk") is None:
        raise SetupFailed(
            "the demo needs the official SDK: pip install 'atelier[demo]', or start it with ./run demo"
        )
    console = Console(highlight=False, markup=False, soft_wrap=True)
    began = monotonic()
    async with contextlib.AsyncExitStack() as stack:
        with console.status("Starting PostgreSQL, servers, a dispatcher and the API"):
            atelier = await stack.enter_async_context(running(settings, announce=console.print))
        console.print(f"started  Atelier, in {monotonic() - began:.1f} s")
        for server in atelier.servers:
            console.print(f"server   {server.id} at {server.url}")
        await _first_picture(atelier, out)
        await _by_workflow(settings, atelier, out, console)
        console.print(_what_next(settings, atelier, once=once))
        if not once:
            console.print("\nAtelier stays up; Ctrl-C stops it.")
            await asyncio.Event().wait()


async def _first_picture(atelier: Running, out: Path) -> None:
    """In a process of its own, as the SDK's users run it: the address and the key come from its environment."""
    checkpoint = ("--checkpoint", atelier.checkpoints[0]) if atelier.checkpoints else ()
    words = ("atelier.entry.first_picture", "--out", str(out), *checkpoint)
    if await _done(words, COMFY_BASE_URL=atelier.url, COMFY_API_KEY=atelier.key):
        raise SetupFailed("the first picture could not be made; the reason stands above")


async def _by_workflow(settings: Settings, atelier: Running, out: Path, console: Console) -> None:
    """A second one by what it makes, where the servers can run a workflow that comes with Atelier."""
    workflow = await _runnable(atelier)
    if workflow is None:
        console.print("workflow none of text to image runs on these servers: see atelier workflows list")
        return
    console.print(f"workflow {workflow}, by POST /api/v1/generate")
    at = ("--url", atelier.url, "--key-file", str(settings.state_dir / FILE), "--out", str(out))
    if await _done(("atelier", "workflows", "run", workflow, "-p", f"prompt={PROMPT}", *at)):
        raise SetupFailed(f"the workflow {workflow} could not be run; the reason stands above")


async def _runnable(atelier: Running) -> str | None:
    """The first workflow that makes a picture of words alone."""
    asked = {"category": "text-to-image", "runnable": "true"}
    headers = {"Authorization": f"Bearer {atelier.key}"}
    timeout = aiohttp.ClientTimeout(total=LIST_SECONDS)
    async with (
        aiohttp.ClientSession(atelier.url, headers=headers, timeout=timeout) as http,
        http.get("/api/v1/workflows", params=asked) as answer,
    ):
        listed = (await answer.json())["workflows"]
    return next((str(one["id"]) for one in listed if not one["requires_input_image"]), None)


async def _done(words: Sequence[str], **more: str) -> int:
    """The exit code of a program of ours. Raises SetupFailed where it does not end."""
    process = await asyncio.create_subprocess_exec(sys.executable, "-m", *words, env=child_environment(**more))
    try:
        async with asyncio.timeout(PICTURE_SECONDS):
            return await process.wait()
    except TimeoutError as error:
        raise SetupFailed(f"there was no picture after {PICTURE_SECONDS:.0f} s: see atelier jobs list") from error
    finally:
        await _end(process)


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is not None:
        return
    process.terminate()
    try:
        async with asyncio.timeout(STOP_SECONDS):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()


def _what_next(settings: Settings, atelier: Running, *, once: bool) -> str:
    command = _short(Path(sys.executable).with_name("atelier"))
    state = _short(settings.state_dir)
    option = "" if state == str(Settings.model_fields["state_dir"].default) else f" --state {state}"
    return f"""\
address  {atelier.url}
key      {atelier.key}

Three things to try next, {"while it is up (without --once it stays)" if once else "in another terminal"}:

  1. curl: what workflows there are, and a red square by a graph of its own
     curl -s {atelier.url}/api/v1/workflows -H 'Authorization: Bearer {atelier.key}'
     curl -s {atelier.url}/api/v2/jobs -H 'Authorization: Bearer {atelier.key}' \\
       -H 'Content-Type: application/json' -d '{GRAPH}'

  2. the official SDK, in Python
     export COMFY_BASE_URL={atelier.url} COMFY_API_KEY={atelier.key}
     {_short(Path(sys.executable))} -c 'from comfy_sdk import Comfy; print(*Comfy().list_jobs(), sep="\\n")'

  3. as if it were a ComfyUI: any client of ComfyUI takes this address
     curl -s {atelier.url}/k/{atelier.key}/history

In a browser: {atelier.url}/comfy/ is ComfyUI's own editor; sign in with the key.

As the operator: {command} jobs list{option}; {command} servers list{option}; {command} keys list{option}"""


def _short(path: Path) -> str:
    """As somebody in this folder would type it."""
    here = Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else str(path)
