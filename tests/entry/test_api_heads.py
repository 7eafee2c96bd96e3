"""Whoever sends more head than a request has is cut off, and nobody else notices."""

import asyncio
from collections.abc import AsyncGenerator

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from atelier.entry.api_server import ApiServer
from atelier.entry.listening import listen
from atelier.kit.background import background


async def length(request: Request) -> PlainTextResponse:
    return PlainTextResponse(str(len(await request.body())))


@pytest.fixture
async def port() -> AsyncGenerator[int]:
    listener = listen("127.0.0.1", 0)
    server = ApiServer(Starlette(routes=[Route("/", length, methods=["GET", "POST"])]), listener)
    async with background() as tasks:
        serving = tasks.start(server.run_until_stopped())
        await server.ready()
        yield listener.getsockname()[1]
        server.stop()
        await serving


async def sent(port: int, first: bytes, again: bytes = b"") -> tuple[bytes, int]:
    """The first line of the answer, and how much of `again` was taken until it came (100 MB at most)."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(first)
    taken = 0
    async with asyncio.timeout(20), asyncio.TaskGroup() as group:
        answer = group.create_task(reader.readline())
        while again and not answer.done() and taken < 100_000_000:
            writer.write(again)
            try:
                await writer.drain()
            except ConnectionError:
                break
            await asyncio.sleep(0)
            taken += len(again)
    writer.close()
    return answer.result(), taken


@pytest.mark.parametrize(
    ("first", "again"),
    [
        (b"GET / HTTP/1.1\r\nHost: a\r\n", b"X-A: " + b"y" * 10_000 + b"\r\n"),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX-A: ", b"y" * 10_000),
        (b"GET / HTTP/1.1\r\nHost: a\r\n", b"a:\r\n" * 2_000),
        (b"GET /", b"y" * 10_000),
        (b"GET / HTTP/1.1\r\nHost: a\r\n", b"y" * 10_000),
    ],
)
async def test_a_head_that_does_not_end_is_cut_off(port: int, first: bytes, again: bytes) -> None:
    answer, taken = await sent(port, first, again)

    assert answer.split(b" ")[1:2] in ([b"431"], [b"400"])
    assert taken < 5_000_000


async def test_a_usual_head_and_a_large_body_pass(port: int) -> None:
    head = b"POST / HTTP/1.1\r\nHost: a\r\nCookie: " + b"c" * 8_000 + b"\r\nContent-Length: 3000000\r\n\r\n"

    answer, _ = await sent(port, head + b"x" * 3_000_000)

    assert answer.split(b" ")[1] == b"200"


async def test_requests_one_after_another_are_counted_each_for_itself(port: int) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    async with asyncio.timeout(20):
        for _ in range(20):
            writer.write(
                b"POST / HTTP/1.1\r\nHost: a\r\nX-A: " + b"y" * 30_000 + b"\r\nContent-Length: 100000\r\n"
            )
            await asyncio.sleep(0)
            writer.write(b"\r\n" + b"x" * 100_000)
            status = await reader.readline()
            await reader.readuntil(b"\r\n\r\n")
            body = await reader.readexactly(6)

            assert (status.split(b" ")[1], body) == (b"200", b"100000")
    writer.close()


@pytest.mark.parametrize(
    "request_",
    [
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /x",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +5\r\n\r\nhello",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\n X-Folded: b\r\n\r\n",
        b"GET / HTTP/1.1\nHost: a\r\nX: a\rb\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00",
    ],
)
async def test_a_request_that_can_be_read_in_two_ways_is_refused(port: int, request_: bytes) -> None:
    answer, _ = await sent(port, request_)

    assert answer.split(b" ")[1:2] == [b"400"]
