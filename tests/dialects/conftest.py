"""A served Atelier without a dispatcher, accounts with keys, and clients for them."""

from collections.abc import AsyncGenerator
from pathlib import Path

import httpx
import pytest

from atelier.accounts.service import Authenticator
from atelier.dialects.app import create_app
from atelier.dialects.links import LinkSigner
from atelier.dialects.services import Services
from atelier.fleet.view import FleetView
from atelier.intake.service import Intake
from atelier.jobs.relay import Relay
from atelier.jobs.service import QueueBounds
from atelier.kit.database import Database
from atelier.kit.wakeups import Wakeups
from atelier.storage.opening import open_storage
from atelier.webui import pages
from atelier.workflows.registry import Registry
from support.serving import PEPPER, Tenant, make_tenant, served
from support.stage import Stage


@pytest.fixture
def services(database: Database, tmp_path: Path) -> Services:
    wakeups = Wakeups(database)
    return Services(
        database=database,
        wakeups=wakeups,
        relay=Relay(database, wakeups),
        storage=open_storage(str(tmp_path / "files")),
        intake=Intake(database, FleetView(database, wakeups), wakeups, QueueBounds(50, 10), 3600.0, 7200.0),
        authenticator=Authenticator(database, PEPPER),
        links=LinkSigner(b"link secret"),
        registry=Registry(database, wakeups),
        cors_origins=("https://studio.example.com",),
        json_limit=200_000,
        upload_limit=3_000_000,
    )


@pytest.fixture
def stage(services: Services) -> Stage:
    return Stage(services.database, services.wakeups, services.storage)


@pytest.fixture
async def base(services: Services) -> AsyncGenerator[str]:
    async with served(create_app(services, pages.ROUTES)) as url:
        yield url
        services.closing.set()


@pytest.fixture
async def tenant(database: Database) -> Tenant:
    return await make_tenant(database, "tenant")


@pytest.fixture
async def stranger(database: Database) -> Tenant:
    return await make_tenant(database, "stranger")


@pytest.fixture
async def client(base: str, tenant: Tenant) -> AsyncGenerator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=base, headers=tenant.headers) as made:
        yield made


@pytest.fixture
async def other(base: str, stranger: Tenant) -> AsyncGenerator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=base, headers=stranger.headers) as made:
        yield made


@pytest.fixture
async def nobody(base: str) -> AsyncGenerator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=base) as made:
        yield made
