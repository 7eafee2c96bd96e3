"""Whole assemblies: what runs together in one process, started in order and stopped in the opposite one."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncGenerator
from dataclasses import dataclass

import structlog

from atelier.entry import periodic
from atelier.entry.alone import alone
from atelier.entry.bound import bound_listener
from atelier.entry.first_key import first_key
from atelier.entry.listening import listen, url_of
from atelier.entry.reachable import reach_servers
from atelier.entry.roles import (
    Foundation,
    api,
    dispatch,
    foundation,
    register_private_servers,
    register_servers,
    register_shared_servers,
)
from atelier.entry.settings import Settings
from atelier.entry.simulators import simulated
from atelier.entry.state import Announce, database, secrets_of
from atelier.fleet.model import Server
from atelier.fleet.view import FleetView

READY_SECONDS = 30.0

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class ServerLink:
    id: str
    url: str


@dataclass(frozen=True, slots=True)
class Running:
    """An Atelier that can take jobs. `checkpoints` are the files that its servers could load, sorted."""

    url: str
    key: str
    servers: tuple[ServerLink, ...]
    checkpoints: tuple[str, ...]


@contextlib.asynccontextmanager
async def running(settings: Settings, *, announce: Announce) -> AsyncGenerator[Running]:
    """Everything on one machine. Raises SetupFailed, and then nothing of it is left behind."""
    async with contextlib.AsyncExitStack() as stack:
        listener, bound = _listeners(stack, settings, announce)
        for sentence in await reach_servers(settings):
            announce(sentence)
        stack.enter_context(alone(settings.state_dir))
        opened = await stack.enter_async_context(database(settings, announce))
        secrets = secrets_of(settings)
        key = await first_key(settings, opened, secrets.pepper)
        named = await stack.enter_async_context(simulated(settings, _how_many(settings)))
        ground = await stack.enter_async_context(foundation(settings, opened, secrets))
        simulators = await register_servers(ground, named)
        await ground.fleet.refresh()
        dispatcher = await stack.enter_async_context(dispatch(ground, ending=simulators))
        await stack.enter_async_context(periodic.running(ground, url_of(listener)))
        await stack.enter_async_context(api(ground, listener, bound))
        stack.callback(dispatcher.take_no_more)  # what runs has the time in which the API closes its streams
        await _fleet_known(ground.fleet, announce)
        yield Running(url_of(listener), key, _links(ground.fleet), _checkpoints(ground.fleet))


@contextlib.asynccontextmanager
async def serving(settings: Settings, *, announce: Announce) -> AsyncGenerator[str]:
    """The API alone. Gives the address."""
    async with contextlib.AsyncExitStack() as stack:
        listener, bound = _listeners(stack, settings, announce)
        ground = await _ground(stack, settings, announce)
        await stack.enter_async_context(api(ground, listener, bound))
        yield url_of(listener)


@contextlib.asynccontextmanager
async def dispatching(settings: Settings, *, announce: Announce, private: bool = False) -> AsyncGenerator[None]:
    """A dispatcher alone; servers that the settings name are registered, for nobody else to drive if `private`."""
    async with contextlib.AsyncExitStack() as stack:
        ground = await _ground(stack, settings, announce)
        if private:
            for sentence in await register_private_servers(ground):
                announce(sentence)
        else:
            await register_shared_servers(ground)
        await stack.enter_async_context(dispatch(ground))
        yield


@contextlib.asynccontextmanager
async def working(settings: Settings, *, announce: Announce) -> AsyncGenerator[None]:
    """Background and periodic tasks alone."""
    async with contextlib.AsyncExitStack() as stack:
        ground = await _ground(stack, settings, announce)
        await stack.enter_async_context(periodic.running(ground))
        yield


def _listeners(
    stack: contextlib.AsyncExitStack, settings: Settings, announce: Announce
) -> tuple[socket.socket, socket.socket | None]:
    """The one for everybody, and the one that a key is bound to, if any; closed with `stack`."""
    listener = stack.enter_context(listen(settings.host, settings.port))
    bound = bound_listener(settings)
    if bound is not None:
        stack.callback(bound.close)
        announce(f"whoever is on this machine asks at {url_of(bound)} without a key")
    return listener, bound


async def _ground(stack: contextlib.AsyncExitStack, settings: Settings, announce: Announce) -> Foundation:
    opened = await stack.enter_async_context(database(settings, announce))
    return await stack.enter_async_context(foundation(settings, opened, secrets_of(settings)))


def _how_many(settings: Settings) -> int:
    if settings.simulate is not None:
        return settings.simulate
    return 0 if settings.comfyui_urls else 2


async def _fleet_known(fleet: FleetView, announce: Announce) -> None:
    """Until every server that answers has told what it can run; one that is silent is not waited for."""
    try:
        async with asyncio.timeout(READY_SECONDS):
            await fleet.refresh()
            while not all(map(_told, fleet.servers)):
                await asyncio.sleep(0.02)
                await fleet.refresh()
    except TimeoutError:
        announce("some servers have not told yet what they can run: jobs for them wait")


def _told(server: Server) -> bool:
    return server.health != "unknown" and (server.inventory_digest is not None or server.health == "offline")


def _links(fleet: FleetView) -> tuple[ServerLink, ...]:
    return tuple(ServerLink(server.id, server.url) for server in fleet.servers)


def _checkpoints(fleet: FleetView) -> tuple[str, ...]:
    return tuple(sorted({name for inventory in fleet.inventories() for name in inventory.checkpoints()}))
