"""An answer that comes before its request's body arrives, and the body is not read for ever."""

import asyncio
from collections.abc import AsyncGenerator

import pytest
from fastapi import FastAPI
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from atelier.kit.http.lingering import LINGER_BYTES, SMALL_BYTES, Lingering
from support.serving import served


async def refuse(_: Request) -> Response:
    return PlainTextResponse("no", 413)


async def take(request: Request) -> Response:
    return PlainTextResponse(str(len(await request.body())))


@pytest.fixture
async def port() -> AsyncGenerator[int]:
    routes = [Route("/refuse", refuse, methods=["POST"]), Route("/take", take, methods=["POST"])]
    async with served(FastAPI(routes=[*routes], middleware=[Middleware(Lingering)])) as url:
        yield int(url.rpartition(":")[2])


async def post(port: int, path: str, size: int) -> bytes:
    """All that is answered to a body of that size, written whole before anything is read."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {size}\r\n\r\n".encode())
    async with asyncio.timeout(20):
        for _ in range(size // 65_536):
            writer.write(bytes(65_536))
            await writer.drain()
        writer.write(bytes(size % 65_536))
        answer = await reader.readuntil(b"\r\n\r\n")
    writer.transport.abort()
    return answer.lower()


async def test_the_answer_reaches_who_reads_only_after_writing(port: int) -> None:
    answer = await post(port, "/refuse", 20 * SMALL_BYTES)

    assert answer.startswith(b"http/1.1 413")
    assert b"connection: close" in answer


async def test_a_small_body_costs_no_connection(port: int) -> None:
    assert b"connection: close" not in await post(port, "/refuse", 1000)


async def test_a_body_that_was_read_costs_no_connection(port: int) -> None:
    answer = await post(port, "/take", 3 * SMALL_BYTES)

    assert answer.startswith(b"http/1.1 200")
    assert b"connection: close" not in answer


async def test_who_never_ends_is_hung_up_on(port: int) -> None:
    with pytest.raises(ConnectionError):
        await post(port, "/refuse", 4 * LINGER_BYTES)
