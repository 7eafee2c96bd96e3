"""An installation that clients of the native API ask: a simulated server, a dispatcher, two API processes."""

import asyncio
import contextlib
import dataclasses
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass
from typing import Any

import aiohttp

from atelier.accounts.service import Authenticator
from atelier.dialects.comfyui.hub import Hub
from atelier.dialects.comfyui.reach import Reach
from atelier.dialects.links import LinkSigner
from atelier.dialects.services import Services
from atelier.fleet.view import FleetView
from atelier.intake.service import Intake
from atelier.jobs.relay import Relay
from atelier.jobs.service import QueueBounds
from atelier.kit.wakeups import Wakeups
from atelier.simulator.config import SimulatorConfig
from atelier.workflows.registry import Registry
from support.fleet import Ground, simulator
from support.serving import PEPPER, Tenant, make_tenant
from support.sockets import api_process

SLOW = SimulatorConfig(control=True, step_seconds=0.05, previews=True)


@dataclass(frozen=True)
class Site:
    """`near` is in the dispatcher's process, `far` is an API process of its own."""

    near: str
    far: str
    server: str
    ground: Ground
    tenant: Tenant
    stranger: Tenant
    http: aiohttp.ClientSession

    async def post(self, graph: Mapping[str, Any], url: str = "", **more: Any) -> str:
        """The prompt's id."""
        body = {"prompt": graph, "client_id": "me", **more}
        answer = await self.http.post(f"{url or self.near}/prompt", json=body, headers=self.tenant.headers)
        assert answer.status == 200, await answer.text()
        return str((await answer.json())["prompt_id"])

    async def ask(self, method: str, path: str, body: Any = None, url: str = "") -> Any:
        answer = await self.http.request(
            method, f"{url or self.near}{path}", json=body, headers=self.tenant.headers
        )
        return await answer.json() if answer.content_type == "application/json" else await answer.read()

    async def is_in_history(self, prompt_id: str) -> bool:
        return prompt_id in await self.ask("GET", f"/history/{prompt_id}")


@contextlib.asynccontextmanager
async def native_site(ground: Ground) -> AsyncGenerator[Site]:
    """Its one dispatcher keeps its server also while a busy machine keeps it from renewing."""
    async with contextlib.AsyncExitStack() as stack:
        server = await stack.enter_async_context(simulator(SLOW))
        await ground.add_server(server, "sim-1")
        ground.tasks.start(ground.dispatcher(hold=45.0, expiry=60.0).run())
        await ground.known(1)
        near = _services(ground)
        await stack.enter_async_context(_reach(near).opened())
        near_url = await stack.enter_async_context(api_process(near, shared=True))
        far_url = await stack.enter_async_context(api_process(await _elsewhere(near)))
        tenant, stranger = [await make_tenant(ground.database, name) for name in ("tenant", "stranger")]
        http = await stack.enter_async_context(aiohttp.ClientSession())
        yield Site(near_url, far_url, server, ground, tenant, stranger, http)


def _services(ground: Ground) -> Services:
    return Services(
        database=ground.database,
        wakeups=ground.wakeups,
        relay=ground.relay,
        storage=ground.storage,
        intake=ground.intake,
        authenticator=Authenticator(ground.database, PEPPER),
        links=LinkSigner(b"link secret"),
        registry=Registry(ground.database, ground.wakeups),
        reach=Reach(ground.view),
    )


def _reach(services: Services) -> Reach:
    assert services.reach is not None
    return services.reach


async def _elsewhere(services: Services) -> Services:
    """The same as another process has it."""
    wakeups = Wakeups(services.database)
    view = FleetView(services.database, wakeups)
    await view.refresh()
    return dataclasses.replace(
        services,
        wakeups=wakeups,
        relay=Relay(services.database, wakeups),
        intake=Intake(services.database, view, wakeups, QueueBounds(10_000, 10_000), 3600, 3600),
        hub=Hub(),
        closing=asyncio.Event(),
    )
