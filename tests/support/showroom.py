"""An Atelier that shows what its servers have: they are learned once by the test, and no dispatcher runs."""

import contextlib
import dataclasses
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass
from typing import Any

import aiohttp

from atelier.assets import naming
from atelier.assets import service as assets
from atelier.assets.names import FileName, Folder
from atelier.comfy.client import ComfyClient
from atelier.dialects.app import create_app
from atelier.dialects.comfyui.reach import Reach
from atelier.dialects.services import Services
from atelier.dispatch.leafing import leaf_through
from atelier.dispatch.learning import Learned, learn
from atelier.fleet import service as fleet
from atelier.fleet.inventory import Files, from_object_info
from atelier.fleet.model import Health
from atelier.fleet.pages import Pages
from atelier.fleet.store import catalogs, roster
from atelier.kit.ids import ServerId
from atelier.webui import pages as browser_pages
from support.serving import Tenant, served

NOWHERE = "http://127.0.0.1:1"
NO_FILES: Files = {}


@dataclass(frozen=True, slots=True)
class Showroom:
    services: Services
    url: str

    async def server(self, url: str, server_id: str, owner: str = "") -> None:
        """A server that runs, is well and has told what it has."""
        async with aiohttp.ClientSession() as http:
            client = ComfyClient(http, url)
            learned = await learn(client, None, 10)
            pages = await leaf_through(client, 10, with_files=bool(owner))
        await self._keep(learned, url, server_id, owner=owner, pages=pages)

    async def catalogue(
        self,
        server_id: str,
        object_info: Mapping[str, Any],
        *,
        files: Files = NO_FILES,
        system: Mapping[str, Any] | None = None,
    ) -> None:
        """A server that nobody can reach now and that told this before."""
        learned = Learned(from_object_info(object_info, files), system or {})
        await self._keep(learned, f"{NOWHERE}/{server_id}", server_id)

    async def health(self, server_id: str, health: Health) -> None:
        async with self.services.database.transaction() as tx:
            await roster.save_health(tx, ServerId(server_id), health, "")
        await self.services.intake.fleet.refresh()

    async def remove(self, server_id: str) -> None:
        async with self.services.database.transaction() as tx:
            await fleet.remove(tx, ServerId(server_id))
        await self.services.intake.fleet.refresh()

    async def _keep(
        self, learned: Learned, url: str, server_id: str, *, owner: str = "", pages: Pages | None = None
    ) -> None:
        async with self.services.database.transaction() as tx:
            await fleet.add(tx, url, server_id=server_id, owner=owner)
            await catalogs.save_inventory(tx, ServerId(server_id), learned.inventory, learned.system)
            if pages is not None:
                await catalogs.save_pages(tx, ServerId(server_id), pages)
            await roster.save_health(tx, ServerId(server_id), Health.READY, "")
        await self.services.intake.fleet.refresh()


async def upload(services: Services, owner: Tenant, name: str) -> None:
    """A file at the top of the owner's input folder."""
    received = await assets.receive_bytes(services.database, services.storage, name.encode())
    async with services.database.transaction() as tx:
        await naming.keep(tx, owner.account_id, received, FileName(Folder.INPUT, "", name))


@contextlib.asynccontextmanager
async def showroom(services: Services, **changes: Any) -> AsyncGenerator[Showroom]:
    """Served on a free port; `changes` are of the services."""
    reach = Reach(services.intake.fleet)
    changed = dataclasses.replace(services, reach=reach, **changes)
    async with reach.opened(), served(create_app(changed, browser_pages.ROUTES)) as url:
        yield Showroom(changed, url)
        changed.closing.set()
