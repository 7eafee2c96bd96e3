"""What lasts ends with its key."""

import asyncio
import dataclasses
import datetime as dt
from collections.abc import AsyncGenerator

import aiohttp
import pytest

from atelier.accounts import service as accounts
from atelier.accounts.service import Authenticator
from atelier.dialects.credentials import COOKIE
from atelier.dialects.services import Services
from support.graphs import picture
from support.serving import PEPPER, Tenant
from support.sockets import api_process


@pytest.fixture
def forgetful(services: Services) -> Services:
    """Keys are asked anew all the time."""
    unknowing = Authenticator(services.database, PEPPER, remember_for=0)
    return dataclasses.replace(services, authenticator=unknowing, asked_anew=0.05, keepalive=0.05)


@pytest.fixture
async def url(forgetful: Services) -> AsyncGenerator[str]:
    async with api_process(forgetful) as address:
        yield address


async def revoke(services: Services, tenant: Tenant) -> None:
    async with services.database.transaction() as tx:
        for key in await accounts.list_keys(tx, tenant.account_id):
            await accounts.revoke_key(tx, key.id)


async def test_a_socket_stays_while_its_key_is_good_and_ends_with_it(
    url: str, forgetful: Services, tenant: Tenant
) -> None:
    async with aiohttp.ClientSession(headers=tenant.headers) as http, http.ws_connect(f"{url}/ws") as socket:
        await socket.receive_json()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.5):
                await socket.receive()

        await revoke(forgetful, tenant)

        async with asyncio.timeout(10):
            last = await socket.receive()
        assert (last.type, last.data) == (aiohttp.WSMsgType.CLOSE, 1008)


async def test_a_socket_of_a_session_ends_when_it_is_signed_out(
    url: str, forgetful: Services, tenant: Tenant
) -> None:
    opened = await forgetful.authenticator.sign_in(tenant.key, dt.timedelta(hours=1))
    headers = {"Cookie": f"{COOKIE}={opened.token}", "Origin": url}
    async with aiohttp.ClientSession(headers=headers) as http, http.ws_connect(f"{url}/ws") as socket:
        await socket.receive_json()

        await forgetful.authenticator.sign_out(opened.token)

        async with asyncio.timeout(10):
            last = await socket.receive()
        assert (last.type, last.data) == (aiohttp.WSMsgType.CLOSE, 1008)


async def test_a_stream_of_events_ends_with_its_key(url: str, forgetful: Services, tenant: Tenant) -> None:
    async with aiohttp.ClientSession(headers=tenant.headers) as http:
        async with http.post(f"{url}/api/v2/jobs", json={"workflow": picture()}) as answer:
            events = (await answer.json())["urls"]["events"]
        async with http.get(events) as stream:
            await stream.content.readline()

            await revoke(forgetful, tenant)

            async with asyncio.timeout(10):
                with pytest.raises(aiohttp.ClientPayloadError):
                    await stream.content.read()


async def test_what_follows_jobs_ends_with_its_key(url: str, forgetful: Services, tenant: Tenant) -> None:
    async with aiohttp.ClientSession(headers=tenant.headers) as http:
        async with http.post(f"{url}/api/v2/jobs", json={"workflow": picture()}) as answer:
            job_id = (await answer.json())["id"]
        async with (
            http.get(f"{url}/api/v1/jobs/{job_id}/events") as one,
            http.get(f"{url}/api/v1/events") as every,
            http.ws_connect(f"{url}/api/v1/events") as socket,
        ):
            for stream in (one, every):
                await stream.content.readline()
            await socket.receive_json()

            await revoke(forgetful, tenant)

            async with asyncio.timeout(60):
                last = await socket.receive()
                for stream in (one, every):
                    with pytest.raises(aiohttp.ClientPayloadError):
                        await stream.content.read()
        assert (last.type, last.data) == (aiohttp.WSMsgType.CLOSE, 1008)
