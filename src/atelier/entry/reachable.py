"""An operator who named servers hears at once when none of them answers, and which ones do not."""

import asyncio
from collections.abc import Sequence

import aiohttp

from atelier.comfy.client import ComfyClient, Timeouts
from atelier.comfy.errors import ComfyError
from atelier.entry.settings import Settings
from atelier.kit.errors import SetupFailed


async def reach_servers(settings: Settings) -> Sequence[str]:
    """Ask each named server once. Gives a sentence for each that does not answer; SetupFailed when none does.

    One that is down must not keep a fleet from starting: it is used when it comes back.
    """
    urls = settings.comfyui_urls
    async with aiohttp.ClientSession() as session, asyncio.TaskGroup() as group:
        asked = [group.create_task(_trouble(session, settings, url)) for url in urls]
    silent = [f"{url} ({trouble})" for url, task in zip(urls, asked, strict=True) if (trouble := task.result())]
    if urls and len(silent) == len(urls):
        raise SetupFailed(
            f"no ComfyUI server answers at {', '.join(silent)}: start it, or correct ATELIER_COMFYUI_URLS"
            " (without any, simulated servers are used)"
        )
    return [f"ComfyUI at {each} does not answer: it is used as soon as it does" for each in silent]


async def _trouble(session: aiohttp.ClientSession, settings: Settings, url: str) -> str:
    timeouts = Timeouts(connect=settings.connect_timeout, read=settings.connect_timeout)
    client = ComfyClient(session, url, headers=settings.headers_for(url), timeouts=timeouts)
    try:
        await client.system_stats()
    except ComfyError as error:
        return str(error)
    return ""
