import asyncio
import contextlib
import json
from collections.abc import AsyncGenerator, Callable
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from atelier.comfy.messages import ExecutionStart, FeatureFlags, Preview, Status, Unknown
from atelier.comfy.socket import ComfySocket, Connected, Disconnected, Event, Refused, reconnect_delay
from support.comfy_standin import StandIn, closed_url, raw_server, standing_in

STATUS = {"type": "status", "data": {"status": {"exec_info": {"queue_remaining": 3}}, "sid": "me"}}
START = {"type": "execution_start", "data": {"prompt_id": "p", "timestamp": 1}}
PICTURE = b"\0\0\0\1\0\0\0\2\x89PNG"

Talk = Callable[[web.WebSocketResponse], Any]


@pytest.fixture(autouse=True)
def quick_reconnects(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("atelier.comfy.socket.FIRST_DELAY", 0.01)


@pytest.fixture
async def server() -> AsyncGenerator[StandIn]:
    async with standing_in() as stand_in:
        yield stand_in


def anything(_: Event) -> bool:
    return True


class Ear:
    """What a handler heard; `until` waits for an event that a test needs to go on."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.frames: list[str | bytes] = []
        self._more = asyncio.Event()

    def __call__(self, event: Event, frame: str | bytes) -> None:
        self.events.append(event)
        self.frames.append(frame)
        self._more.set()

    async def until(self, wanted: Callable[[Event], bool]) -> Event:
        async with asyncio.timeout(10):
            while not any(wanted(event) for event in self.events):
                await self._more.wait()
                self._more.clear()
        return next(event for event in self.events if wanted(event))


@contextlib.asynccontextmanager
async def listening(url: str, **options: Any) -> AsyncGenerator[Ear]:
    """A socket that listens in the background until the block ends."""
    ear = Ear()
    async with aiohttp.ClientSession() as session, asyncio.TaskGroup() as group:
        task = group.create_task(ComfySocket(session, url, client_id="me", **options).listen(ear))
        yield ear
        task.cancel()


def speaks(server: StandIn, talk: Talk, **options: Any) -> None:
    """Serve /ws: `talk` has the open socket to itself and closes it by returning."""

    async def answer(request: web.Request) -> web.StreamResponse:
        socket = web.WebSocketResponse(**options)
        await socket.prepare(request)
        await talk(socket)
        return socket

    server.answers["/ws"] = answer


async def until_closed(socket: web.WebSocketResponse) -> None:
    async for _ in socket:
        pass


async def test_flags_go_out_first_and_messages_come_in_order(server: StandIn) -> None:
    first: list[Any] = []

    async def talk(socket: web.WebSocketResponse) -> None:
        await socket.send_json(STATUS)
        first.append(json.loads((await socket.receive()).data))
        await socket.send_json({"type": "feature_flags", "data": {"supports_preview_metadata": True}})
        await socket.send_json(START)
        await socket.send_bytes(PICTURE)
        await until_closed(socket)

    speaks(server, talk)
    async with listening(server.url) as ear:
        await ear.until(lambda event: isinstance(event, Preview))

    assert first == [{"type": "feature_flags", "data": {"supports_preview_metadata": True}}]
    assert ear.events == [
        Connected(1, 3),
        FeatureFlags({"supports_preview_metadata": True}),
        ExecutionStart("p", 1),
        Preview(None, None, "image/png", b"\x89PNG"),
    ]
    assert ear.frames[2:] == [json.dumps(START), PICTURE]
    assert server.seen[0][1] == "/ws?clientId=me"


async def test_frames_that_nobody_understands_do_not_end_the_connection(server: StandIn) -> None:
    async def talk(socket: web.WebSocketResponse) -> None:
        await socket.send_bytes(b"\0")
        await socket.send_str("no json")
        await socket.send_json(STATUS)
        for frame in ("{", "[]", '{"type":"pack.event"}', "[" * 50_000):
            await socket.send_str(frame)
        await socket.send_json(START)
        await until_closed(socket)

    speaks(server, talk)
    async with listening(server.url) as ear:
        await ear.until(lambda event: isinstance(event, ExecutionStart))

    assert ear.events == [Connected(1, 3), Unknown("pack.event", '{"type":"pack.event"}'), ExecutionStart("p", 1)]


async def test_a_closed_socket_is_made_again_with_a_new_epoch(server: StandIn) -> None:
    async def talk(socket: web.WebSocketResponse) -> None:
        await socket.send_json(STATUS)

    speaks(server, talk)
    async with listening(server.url) as ear:
        await ear.until(lambda event: isinstance(event, Connected) and event.epoch == 3)

    assert [type(event) for event in ear.events[:4]] == [Connected, Disconnected, Connected, Disconnected]
    assert [event.epoch for event in ear.events if isinstance(event, Disconnected)][:2] == [1, 2]


async def test_the_old_socket_is_closed_before_a_new_one_opens(server: StandIn) -> None:
    open_now = 0
    most = 0

    async def talk(socket: web.WebSocketResponse) -> None:
        nonlocal open_now, most
        open_now += 1
        most = max(most, open_now)
        await socket.send_json(STATUS)
        await socket.send_bytes(b"x" * 2_000)
        await until_closed(socket)
        open_now -= 1

    speaks(server, talk)
    async with listening(server.url, max_frame=1_000) as ear:
        await ear.until(lambda event: isinstance(event, Connected) and event.epoch == 3)

    assert most == 1


async def test_ending_the_listening_closes_the_socket(server: StandIn) -> None:
    closed = asyncio.Event()

    async def talk(socket: web.WebSocketResponse) -> None:
        await socket.send_json(STATUS)
        await until_closed(socket)
        closed.set()

    speaks(server, talk)
    async with listening(server.url) as ear:
        await ear.until(lambda event: isinstance(event, Connected))

    async with asyncio.timeout(5):
        assert await closed.wait()


async def test_a_server_that_is_away_is_tried_until_it_is_there() -> None:
    async with listening(closed_url()) as ear:
        await ear.until(lambda _: len(ear.events) >= 3)

    assert all(isinstance(event, Disconnected) and event.epoch == 0 for event in ear.events)


@pytest.mark.parametrize("status", [200, 400, 403, 404, 426, 500])
async def test_a_path_without_a_socket_is_refused_so_that_polling_can_begin(server: StandIn, status: int) -> None:
    server.replies("/ws", "no sockets here", status)

    async with listening(server.url) as ear:
        await ear.until(lambda event: isinstance(event, Refused))

    assert ear.events[0] == Refused(status)


async def test_a_refused_socket_is_tried_again(server: StandIn) -> None:
    async def talk(socket: web.WebSocketResponse) -> None:
        await socket.send_json(STATUS)
        await until_closed(socket)

    async with listening(server.url) as ear:
        await ear.until(lambda event: isinstance(event, Refused))
        speaks(server, talk)
        await ear.until(lambda event: isinstance(event, Connected))

    assert Refused(404) in ear.events


@pytest.mark.parametrize("status", [502, 503, 524])
async def test_a_tunnel_without_its_server_is_a_disconnection(server: StandIn, status: int) -> None:
    server.replies("/ws", "Bad gateway", status)

    async with listening(server.url) as ear:
        event = await ear.until(anything)

    assert isinstance(event, Disconnected)
    assert str(status) in event.reason


async def test_no_redirect_is_followed_with_the_servers_headers(server: StandIn) -> None:
    async with standing_in() as other:
        server.replies("/ws", "", 302, Location=f"{other.url}/cdn-cgi/access/login")

        async with listening(server.url, headers={"CF-Access-Client-Secret": "x"}) as ear:
            event = await ear.until(anything)

        assert isinstance(event, Disconnected)
        assert "CF-Access-Client-Id" in event.reason
        assert other.seen == []


async def test_the_servers_headers_go_out_and_an_origin_never(server: StandIn) -> None:
    async with listening(server.url, headers={"Authorization": "Bearer x", "Origin": "http://a"}) as ear:
        await ear.until(lambda event: isinstance(event, Refused))

    assert server.seen[0][2]["Authorization"] == "Bearer x"
    assert "Origin" not in server.seen[0][2]


async def test_a_socket_that_never_greets_is_given_up(server: StandIn) -> None:
    speaks(server, until_closed)

    async with listening(server.url, connect_timeout=0.2) as ear:
        event = await ear.until(anything)

    assert isinstance(event, Disconnected)
    assert "in time" in event.reason


async def test_a_handshake_that_never_ends_is_given_up() -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(5)

    async with raw_server(talk) as url, listening(url, connect_timeout=0.2) as ear:
        event = await ear.until(anything)

    assert isinstance(event, Disconnected)
    assert "in time" in event.reason


async def test_a_dead_line_is_found_by_the_heartbeat(server: StandIn) -> None:
    async def talk(socket: web.WebSocketResponse) -> None:
        await socket.send_json(STATUS)
        await asyncio.sleep(5)

    speaks(server, talk, autoping=False)
    async with listening(server.url, heartbeat=0.2) as ear:
        await ear.until(lambda event: isinstance(event, Disconnected))

    assert ear.events[0] == Connected(1, 3)


async def test_statuses_after_the_first_are_messages(server: StandIn) -> None:
    async def talk(socket: web.WebSocketResponse) -> None:
        await socket.send_json(STATUS)
        await socket.send_json(STATUS)
        await until_closed(socket)

    speaks(server, talk)
    async with listening(server.url) as ear:
        await ear.until(lambda event: isinstance(event, Status))

    assert ear.events == [Connected(1, 3), Status(3, "me")]


async def test_what_the_handler_raises_ends_the_listening(server: StandIn) -> None:
    async def talk(socket: web.WebSocketResponse) -> None:
        await socket.send_json(STATUS)
        await until_closed(socket)

    def broken(event: Event, frame: str | bytes) -> None:
        raise ZeroDivisionError

    speaks(server, talk)
    async with aiohttp.ClientSession() as session:
        with pytest.raises(ZeroDivisionError):
            await ComfySocket(session, server.url, client_id="me").listen(broken)


def test_delays_double_up_to_a_quarter_of_a_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("atelier.comfy.socket.FIRST_DELAY", 0.25)

    for failures, longest in ((0, 0.25), (1, 0.5), (5, 8.0), (6, 15.0), (10_000, 15.0)):
        delays = [reconnect_delay(failures) for _ in range(50)]
        assert longest / 2 <= min(delays) <= max(delays) <= longest
