"""A served Atelier without a dispatcher, accounts with keys, and clients for them."""

from collections.abc import AsyncGenerator

import httpx
import pytest

from atelier.accounts.service import Authenticator
from atelier.dialects.app import create_app
from atelier.dialects.links import LinkSigner
from atelier.dialects.services import Services
from atelier.kit.database import Database
from atelier.kit.wakeups import Wakeups
from support.serving import PEPPER, Tenant, make_tenant, served


@pytest.fixture
def services(database: Database) -> Services:
    return Services(
        database=database,
        wakeups=Wakeups(database),
        authenticator=Authenticator(database, PEPPER),
        links=LinkSigner(b"link secret"),
        cors_origins=("https://studio.example.com",),
        json_limit=200_000,
    )


@pytest.fixture
async def base(services: Services) -> AsyncGenerator[str]:
    async with served(create_app(services)) as url:
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
