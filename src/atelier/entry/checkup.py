"""What an installation needs, looked at one by one; every finding that is not well says what to do."""

import asyncio
import shutil
import sys
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

import aiohttp
import psycopg
from yarl import URL

from atelier.comfy.client import ComfyClient
from atelier.comfy.errors import ComfyError
from atelier.entry.listening import listen
from atelier.entry.reachable import asking
from atelier.entry.roles import storage_of
from atelier.entry.settings import Settings, notices
from atelier.entry.state import Announce, database, make_folder
from atelier.entry.workflow_checkup import workflow_findings
from atelier.fleet import service as fleet
from atelier.fleet.model import Origin, Server
from atelier.kit.clock import monotonic
from atelier.kit.database import Database
from atelier.kit.errors import Refusal, SetupFailed
from atelier.kit.ids import new_uuid
from atelier.storage.model import Storage

ENOUGH_BYTES = 1_000_000_000
WAKE_SECONDS = 5.0
PORT_SECONDS = 3.0


@dataclass(frozen=True, slots=True)
class Finding:
    """`what` was looked at; `well` or not; `says`: what was found, with the cure where it is not well."""

    what: str
    well: bool
    says: str


async def look(settings: Settings, announce: Announce) -> Sequence[Finding]:
    """Every finding, in the order in which an operator would mend them. Changes nothing that lasts."""
    found = [Finding("settings", False, notice) for notice in notices()] or [Finding("settings", True, "read")]
    found += [
        _python(),
        await _tried("state folder", _state_folder, settings),
        await _tried("port", _port, settings),
    ]
    found.append(await _tried("files", _files, settings))
    try:
        async with database(settings, announce) as opened:
            found += await _with_database(settings, opened)
    except Refusal as refusal:
        found.append(Finding("database", False, refusal.message))
    return found


async def _tried(what: str, look_at: Callable[[Settings], Awaitable[str]], settings: Settings) -> Finding:
    try:
        return Finding(what, True, await look_at(settings))
    except Refusal as refusal:
        return Finding(what, False, refusal.message)
    except OSError as error:
        return Finding(what, False, f"{error}: give this user the right to it, or choose another place")


def _python() -> Finding:
    return Finding("python", True, f"{sys.version.split()[0]} at {sys.executable}")


async def _state_folder(settings: Settings) -> str:
    await asyncio.to_thread(make_folder, settings.state_dir)
    free = shutil.disk_usage(settings.state_dir).free
    if free < ENOUGH_BYTES:
        raise Refusal(f"only {free // 1_000_000} MB are free at {settings.state_dir}: make room")
    return f"{settings.state_dir}, {free // 1_000_000_000} GB free"


async def _port(settings: Settings) -> str:
    """Taken by a running Atelier is how it should be."""
    try:
        listen(settings.host, settings.port).close()
    except Refusal:
        if not await _is_ours(settings):
            raise
        return f"Atelier's API listens at {settings.host}:{settings.port}"
    return f"{settings.host}:{settings.port} is free"


async def _is_ours(settings: Settings) -> bool:
    """Whether it answers as our API does to somebody without a key."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(settings.host, settings.host)  # noqa: S104 - asked, not bound
    url = URL.build(scheme="http", host=host, port=settings.port, path="/openapi.json")
    try:
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=PORT_SECONDS)) as http,
            http.get(url) as reply,
        ):
            return bool((await reply.json())["info"]["title"] == "Atelier")
    except (aiohttp.ClientError, TimeoutError, OSError, ValueError, LookupError, TypeError):
        return False


async def _files(settings: Settings) -> str:
    place = settings.storage_url or settings.state_dir / "files"
    try:
        kept = await _kept(storage_of(settings))
    except SetupFailed:
        raise
    except Refusal as refusal:
        raise Refusal(f"{place} cannot be used ({refusal.message.rstrip('.')}): {_STORAGE}") from refusal
    if not kept:
        raise Refusal(f"a file that was written to {place} is not there: {_STORAGE}")
    return f"{place} keeps files"


async def _kept(storage: Storage) -> bool:
    """Whether a file that was written is there; it is removed."""
    key = f"doctor/{new_uuid()}"
    await storage.put(key, b"atelier", content_type="application/octet-stream")
    size = await storage.head(key)
    await storage.delete(key)
    return size == len(b"atelier")


_STORAGE = "look at ATELIER_STORAGE_URL and at the ATELIER_S3_ settings beside it, and whether the bucket is there"


async def _with_database(settings: Settings, opened: Database) -> list[Finding]:
    async with opened.transaction() as tx:
        servers = await fleet.servers(tx)
    found = [_described(settings), await _wakeups(opened)]
    async with asking(settings) as client_of, asyncio.TaskGroup() as group:
        asked = [group.create_task(_server(client_of(server.url, server.headers), server)) for server in servers]
    found += [task.result() for task in asked]
    found += [Finding(what, True, says) for what, says in await workflow_findings(opened)]
    return found if servers else [*found, Finding("servers", False, "there is none: atelier servers add URL")]


def _described(settings: Settings) -> Finding:
    kind = "named by ATELIER_DATABASE_URL" if settings.database_url else "embedded"
    return Finding(
        "database", True, f"{kind}, schema up to date (at most {settings.database_pool} connections per process)"
    )


async def _wakeups(opened: Database) -> Finding:
    """LISTEN works on a direct connection only: a pooler in between swallows what it should hear."""
    channel = "atelier_doctor"
    try:
        async with asyncio.timeout(WAKE_SECONDS), await opened.connect() as ear:
            await ear.execute(f"LISTEN {channel}")
            async with opened.autocommit() as tx:
                await tx.execute("SELECT pg_notify(%s, 'hello')", (channel,))
            async for _ in ear.notifies(timeout=WAKE_SECONDS, stop_after=1):
                return Finding("wake-ups", True, "the database is reached directly")
    except (TimeoutError, psycopg.Error) as error:
        return Finding("wake-ups", False, f"cannot listen ({error}): {_DIRECT}")
    return Finding("wake-ups", False, f"a pooler stands before the database: {_DIRECT}")


_DIRECT = "let ATELIER_DATABASE_LISTEN_URL name the database's direct address"


async def _server(client: ComfyClient, server: Server) -> Finding:
    what = f"server {server.id}"
    began = monotonic()
    try:
        system = await client.system_stats()
    except ComfyError as error:
        if server.origin is Origin.SIMULATED:
            return Finding(what, True, "simulated: it lives as long as the `up` that started it")
        return Finding(
            what, False, f"{server.url} does not answer ({error}): start it, or atelier servers remove it"
        )
    version = system.get("system", {}).get("comfyui_version", "of an unknown version")
    return Finding(what, True, f"{server.url}, ComfyUI {version}, {(monotonic() - began) * 1000:.0f} ms")
