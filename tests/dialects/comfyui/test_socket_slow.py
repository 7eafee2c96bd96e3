"""Who does not read loses looks, then the connection; nobody else notices, and memory stays as it was."""

import asyncio
import base64
import contextlib
import os
import socket as sockets
import struct
from collections.abc import AsyncGenerator, Generator
from urllib.parse import urlsplit

import pytest

from atelier.dialects.comfyui import sockets as limits
from atelier.dialects.comfyui.layouts import event
from atelier.dialects.services import Services
from atelier.entry import api_sockets
from atelier.jobs.relay import Frame, FrameKind
from atelier.kit.ids import JobId, new_uuid
from support.serving import Tenant
from support.sockets import api_process, connected, opened


@pytest.fixture
async def url(services: Services) -> AsyncGenerator[str]:
    async with api_process(services) as address:
        yield address


@contextlib.contextmanager
def deaf(url: str, tenant: Tenant, sid: str) -> Generator[sockets.socket]:
    """A connection that shook hands and then never reads."""
    with sockets.socket() as raw:
        raw.setsockopt(sockets.SOL_SOCKET, sockets.SO_RCVBUF, 4096)
        raw.setblocking(False)
        raw.settimeout(0)
        yield raw


async def shake_hands(raw: sockets.socket, url: str, tenant: Tenant, sid: str) -> None:
    loop = asyncio.get_running_loop()
    await loop.sock_connect(raw, ("127.0.0.1", urlsplit(url).port))
    lines = (
        f"GET /ws?clientId={sid} HTTP/1.1",
        "Host: 127.0.0.1",
        f"Authorization: Bearer {tenant.key}",
        "Upgrade: websocket",
        "Connection: Upgrade",
        f"Sec-WebSocket-Key: {base64.b64encode(os.urandom(16)).decode()}",
        "Sec-WebSocket-Version: 13",
    )
    await loop.sock_sendall(raw, ("\r\n".join(lines) + "\r\n\r\n").encode())
    assert (await loop.sock_recv(raw, 12)) == b"HTTP/1.1 101"


def outbox_bytes(services: Services) -> int:
    followers = services.hub._followers.values()
    return sum(client._outbox._bytes for follower in followers for client in follower.audience._everybody())


async def test_a_socket_that_is_not_read_loses_looks_and_holds_up_nobody(
    services: Services, url: str, tenant: Tenant
) -> None:
    job = JobId(new_uuid())
    head = b'{"image_type": "image/jpeg"}'
    preview = struct.pack(">II", 4, len(head)) + head + b"\0" * 40_000
    prompt = str(new_uuid())
    async with connected(url, tenant.headers, "one", {"supports_preview_metadata": True}) as reader:
        with deaf(url, tenant, "one") as raw:
            await shake_hands(raw, url, tenant, "one")
            await opened(services, 2)
            send = services.relay.send
            send(_text(tenant, job, event("execution_start", {"prompt_id": prompt, "timestamp": 1})))
            for _ in range(1_000):
                send(Frame(tenant.account_id, job, "one", FrameKind.PREVIEW, preview))
                await asyncio.sleep(0)
            send(_text(tenant, job, event("executed", {"prompt_id": prompt, "node": "1", "output": None})))

            await reader.until("executed", prompt_id=prompt)

            assert outbox_bytes(services) < 2_000_000
            assert services.hub.places._open == 2


async def test_a_socket_that_does_not_read_its_states_is_closed(
    services: Services, url: str, tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "PATIENCE_SECONDS", 0.3)
    monkeypatch.setattr(api_sockets, "CLOSE_SECONDS", 0.2)
    job, prompt = JobId(new_uuid()), str(new_uuid())
    async with connected(url, tenant.headers, "one") as reader:
        with deaf(url, tenant, "one") as raw:
            await shake_hands(raw, url, tenant, "one")
            await opened(services, 2)
            for number in range(100):
                told = event(
                    "executed", {"prompt_id": prompt, "node": str(number), "output": {"text": "x" * 100_000}}
                )
                services.relay.send(_text(tenant, job, told))
            await reader.until("executed", node="99")

            await opened(services, 1)

    assert reader.types(prompt) == ["execution_start", *["executed"] * 100]


async def test_a_socket_too_far_behind_is_told_to_come_again(services: Services, url: str, tenant: Tenant) -> None:
    job, prompt = JobId(new_uuid()), str(new_uuid())
    async with connected(url, tenant.headers, "one") as slow:
        for number in range(20_000):
            told = event("executed", {"prompt_id": prompt, "node": str(number), "output": None})
            services.relay.send(_text(tenant, job, told))

        assert (await slow.closed()).code == 1013


def _text(tenant: Tenant, job: JobId, text: str) -> Frame:
    return Frame(tenant.account_id, job, "one", FrameKind.STATE, text)


async def test_who_pings_without_reading_the_answers_is_cut(services: Services, url: str, tenant: Tenant) -> None:
    with deaf(url, tenant, "one") as raw:
        await shake_hands(raw, url, tenant, "one")
        await opened(services, 1)

        with pytest.raises(ConnectionError):
            await ping_on_and_on(raw)

        await opened(services, 0)


async def ping_on_and_on(raw: sockets.socket) -> None:
    ping = b"\x89\xfd" + b"\0\0\0\0" + b"x" * 125
    async with asyncio.timeout(60):
        while True:
            await asyncio.get_running_loop().sock_sendall(raw, ping * 100)
