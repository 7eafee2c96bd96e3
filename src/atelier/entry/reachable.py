"""An operator who named servers hears at once when none of them answers, and which ones do not."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence

import aiohttp

from atelier.comfy.client import ComfyClient, Timeouts
from atelier.comfy.errors import ComfyError
from atelier.entry.settings import Settings
from atelier.kit.errors import SetupFailed

BRIEF_SECONDS = 3.0

ClientOf = Callable[[str, Mapping[str, str]], ComfyClient]


async def reach_servers(settings: Settings) -> Sequence[str]:
    """Ask each named server once. Gives a sentence for each that does not answer; SetupFailed when none does.

    One that is down must not keep a fleet from starting: it is used when it comes back.
    """
    urls = settings.comfyui_urls
    async with asking(settings) as client_of, asyncio.TaskGroup() as group:
        asked = [group.create_task(_trouble(client_of(url, settings.headers_for(url)))) for url in urls]
    silent = [f"{url} ({trouble})" for url, task in zip(urls, asked, strict=True) if (trouble := task.result())]
    if urls and len(silent) == len(urls):
        raise SetupFailed(
            f"no ComfyUI server answers at {', '.join(silent)}: start it, or correct ATELIER_COMFYUI_URLS"
            " (without any, simulated servers are used)"
        )
    return [f"ComfyUI at {each} does not answer: it is used as soon as it does" for each in silent]


@contextlib.asynccontextmanager
async def asking(settings: Settings) -> AsyncGenerator[ClientOf]:
    """A client for each address and its headers; somebody waits for the answer, so all is asked briefly."""
    timeouts = Timeouts(connect=settings.connect_timeout, read=settings.connect_timeout)
    async with aiohttp.ClientSession() as session:
        yield lambda url, headers: ComfyClient(session, url, headers=headers, timeouts=timeouts)


async def trouble_of(settings: Settings, url: str, headers: Mapping[str, str]) -> str:
    """Why the server does not answer; empty when it does. Somebody waits, so a few seconds are enough."""
    brief = settings.model_copy(update={"connect_timeout": min(settings.connect_timeout, BRIEF_SECONDS)})
    async with asking(brief) as client_of:
        return await _trouble(client_of(url, headers))


async def _trouble(client: ComfyClient) -> str:
    try:
        await client.system_stats()
    except ComfyError as error:
        return str(error)
    return ""
