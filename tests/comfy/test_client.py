import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from atelier.comfy.client import ComfyClient, OutputItem, Submitted, Success, Timeouts
from atelier.comfy.errors import ComfyError, FileGone, LostServer, Rejected, Unexpected
from atelier.comfy.uploads import UploadedFile
from support.comfy_graphs import picture
from support.comfy_standin import StandIn, closed_url, raw_server, standing_in

ID = "a9daa504-1ce7-4ecc-aed4-512972682f81"
QUICK = Timeouts(connect=5.0, read=0.2, idle_download=0.2, whole=5.0)
FILE = OutputItem("2", "images", "x_00001_.png", "a b/c", "output", None, 0)
CLOUDFLARE = "https://team.cloudflareaccess.com/cdn-cgi/access/login/comfy.example.org?kid=1&token=secret"


@pytest.fixture
async def server() -> AsyncGenerator[StandIn]:
    async with standing_in() as stand_in:
        yield stand_in


@pytest.fixture
async def session() -> AsyncGenerator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


@pytest.fixture
def client(server: StandIn, session: aiohttp.ClientSession) -> ComfyClient:
    return ComfyClient(session, server.url + "/", timeouts=QUICK)


async def submitted(client: ComfyClient) -> Submitted:
    return await client.submit(picture(), prompt_id=ID, client_id="me", extra_data={"k": 1})


async def read(client: ComfyClient) -> bytes:
    async with client.view(FILE) as download:
        return b"".join([chunk async for chunk in download.chunks])


async def test_a_graph_is_submitted_under_our_id(server: StandIn, client: ComfyClient) -> None:
    server.says("/prompt", {"prompt_id": ID, "number": 3, "node_errors": {}})

    result = await submitted(client)

    assert result == Submitted(ID, 3, {})
    method, path, headers, body = server.seen[0]
    assert (method, path, headers["Content-Type"]) == ("POST", "/prompt", "application/json")
    assert json.loads(body) == {"prompt": picture(), "prompt_id": ID, "client_id": "me", "extra_data": {"k": 1}}


async def test_a_number_is_sent_when_it_is_given(server: StandIn, client: ComfyClient) -> None:
    server.says("/prompt", {"prompt_id": ID, "number": -1.5, "node_errors": {}})

    result = await client.submit({}, prompt_id=ID, client_id="me", number=-1.5)

    assert result.number == -1.5
    assert json.loads(server.seen[0][3])["number"] == -1.5


async def test_outputs_that_the_server_dropped_are_told(server: StandIn, client: ComfyClient) -> None:
    server.says("/prompt", {"prompt_id": ID, "number": 3, "node_errors": {"2": {"errors": []}}})

    assert (await submitted(client)).node_errors == {"2": {"errors": []}}


async def test_a_rejected_graph_shows_the_servers_reasons(server: StandIn, client: ComfyClient) -> None:
    error = {"type": "prompt_no_outputs", "message": "Prompt has no outputs", "details": "", "extra_info": {}}
    server.says("/prompt", {"error": error, "node_errors": {"1": {}}}, 400)

    with pytest.raises(Rejected) as caught:
        await submitted(client)

    assert (caught.value.error, caught.value.node_errors) == (error, {"1": {}})


async def test_a_rejection_in_one_sentence_is_a_rejection_too(server: StandIn, client: ComfyClient) -> None:
    server.says("/prompt", {"error": "no"}, 400)

    with pytest.raises(Rejected, match="no"):
        await submitted(client)


@pytest.mark.parametrize(
    ("document", "status"),
    [
        ("Bad Request", 400),
        ([], 400),
        ({}, 400),
        ({"error": 5}, 400),
        ({}, 200),
        ([], 200),
        ({"prompt_id": 5}, 200),
    ],
)
async def test_a_reply_of_another_shape_is_unexpected(
    server: StandIn, client: ComfyClient, document: Any, status: int
) -> None:
    server.says("/prompt", document, status)

    with pytest.raises(Unexpected) as caught:
        await submitted(client)

    assert caught.value.status == status


async def test_a_500_is_unexpected_because_the_prompt_may_be_queued(server: StandIn, client: ComfyClient) -> None:
    server.replies("/prompt", "500 Internal Server Error\n\nServer got itself in trouble", 500)

    with pytest.raises(Unexpected, match="got itself in trouble"):
        await submitted(client)


@pytest.mark.parametrize("status", [408, 429, 502, 503, 504, 520, 521, 524, 530])
async def test_what_stands_before_a_server_can_only_lose_it(
    server: StandIn, client: ComfyClient, status: int
) -> None:
    server.replies("/queue", "<html>Bad gateway</html>", status)

    with pytest.raises(LostServer, match=str(status)) as caught:
        await client.queue()

    assert not caught.value.refused


async def test_a_login_of_cloudflare_access_names_its_cure(server: StandIn, client: ComfyClient) -> None:
    server.replies("/queue", "", 302, Location=CLOUDFLARE)

    with pytest.raises(LostServer, match="CF-Access-Client-Id") as caught:
        await client.queue()

    assert "secret" not in str(caught.value)


async def test_no_redirect_is_followed_with_our_headers(server: StandIn, session: aiohttp.ClientSession) -> None:
    async with standing_in() as other:
        server.replies("/queue", "", 307, Location=f"{other.url}/queue")
        client = ComfyClient(session, server.url, headers={"Authorization": "Bearer x"})

        with pytest.raises(LostServer, match="the server redirects to http"):
            await client.queue()

        assert other.seen == []


@pytest.mark.parametrize("status", [401, 407])
async def test_missing_credentials_are_named(server: StandIn, client: ComfyClient, status: int) -> None:
    server.replies("/queue", "", status)

    with pytest.raises(LostServer, match="credentials"):
        await client.queue()


async def test_the_servers_headers_go_out_and_an_origin_never(
    server: StandIn, session: aiohttp.ClientSession
) -> None:
    server.says("/system_stats", {"system": {}})
    headers = {"CF-Access-Client-Id": "id", "origin": "http://elsewhere"}

    await ComfyClient(session, server.url, headers=headers).system_stats()

    sent = server.seen[0][2]
    assert sent["CF-Access-Client-Id"] == "id"
    assert "origin" not in {name.lower() for name in sent}


async def test_a_server_may_live_below_a_path(server: StandIn, session: aiohttp.ClientSession) -> None:
    server.says("/gpu/1/models", ["loras"])

    assert await ComfyClient(session, f"{server.url}/gpu/1/").models() == ["loras"]


async def test_a_refused_connection_is_told_from_a_lost_one(session: aiohttp.ClientSession) -> None:
    client = ComfyClient(session, closed_url())

    with pytest.raises(LostServer) as caught:
        await submitted(client)

    assert (caught.value.refused, caught.value.never_sent) == (True, True)


async def test_a_name_that_nobody_knows_was_never_reached(session: aiohttp.ClientSession) -> None:
    client = ComfyClient(session, "http://no-such-host.invalid:8188")

    with pytest.raises(LostServer) as caught:
        await client.queue()

    assert (caught.value.refused, caught.value.never_sent) == (False, True)


@pytest.mark.parametrize(
    "reply",
    [
        b"",
        b"HTTP/1.1 200 OK\r\nContent-Le",
        b'HTTP/1.1 200 OK\r\nContent-Length: 900\r\nContent-Type: application/json\r\n\r\n{"queue',
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabc",
        b"SSH-2.0-OpenSSH_9.9\r\n",
    ],
)
async def test_a_connection_that_breaks_is_a_lost_server(session: aiohttp.ClientSession, reply: bytes) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(reply)

    async with raw_server(talk) as url:
        with pytest.raises(LostServer) as caught:
            await ComfyClient(session, url).queue()

    assert not caught.value.never_sent


async def test_a_server_that_says_nothing_is_lost_in_time(server: StandIn, client: ComfyClient) -> None:
    async def silent(_: web.Request) -> web.StreamResponse:
        await asyncio.sleep(20)
        return web.Response()

    server.answers["/queue"] = silent

    with pytest.raises(LostServer, match="in time"):
        await client.queue()


async def test_a_reply_that_drips_for_ever_is_lost_in_time(
    server: StandIn, session: aiohttp.ClientSession
) -> None:
    async def drip(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        for _ in range(200):
            await response.write(b" ")
            await asyncio.sleep(0.05)
        return response

    server.answers["/queue"] = drip
    client = ComfyClient(session, server.url, timeouts=Timeouts(read=5.0, whole=0.3))

    with pytest.raises(LostServer, match="in time"):
        await client.queue()


async def test_a_page_in_place_of_json_is_unexpected(server: StandIn, client: ComfyClient) -> None:
    server.replies("/queue", "<html>Sign in</html>")

    with pytest.raises(Unexpected, match="Sign in"):
        await client.queue()


async def test_json_too_deep_to_read_is_unexpected(server: StandIn, client: ComfyClient) -> None:
    server.replies("/object_info", "[" * 100_000)

    with pytest.raises(Unexpected):
        await client.object_info()


async def test_a_reply_without_end_is_given_up(
    server: StandIn, client: ComfyClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("atelier.comfy.wire.JSON_LIMIT", 1000)
    server.replies("/object_info", "x" * 1001)

    with pytest.raises(Unexpected, match="more than 1000 bytes"):
        await client.object_info()


async def test_the_queue_is_read_in_its_order(server: StandIn, client: ComfyClient) -> None:
    server.says("/queue", {"queue_running": [], "queue_pending": [[2, "b", {}, {}, []], [1, ID, {}, {}, []]]})

    queue = await client.queue()

    assert queue.position(ID) == 1


@pytest.mark.parametrize("document", [{}, {"queue_running": [5], "queue_pending": []}])
async def test_a_queue_that_cannot_be_read_is_never_an_empty_one(
    server: StandIn, client: ComfyClient, document: Any
) -> None:
    server.says("/queue", document)

    with pytest.raises(Unexpected):
        await client.queue()


async def test_history_knows_a_finished_prompt(server: StandIn, client: ComfyClient) -> None:
    status = {"status_str": "success", "messages": [["execution_success", {"prompt_id": ID}]]}
    server.says(f"/history/{ID}", {ID: {"outputs": {}, "status": status}})

    entry = await client.history(ID)

    assert entry is not None
    assert entry.verdict == Success()


async def test_history_of_a_prompt_that_is_not_finished_is_none(server: StandIn, client: ComfyClient) -> None:
    server.says(f"/history/{ID}", {})

    assert await client.history(ID) is None


@pytest.mark.parametrize("document", [[], {ID: 5}])
async def test_a_history_of_another_shape_is_unexpected(
    server: StandIn, client: ComfyClient, document: Any
) -> None:
    server.says(f"/history/{ID}", document)

    with pytest.raises(Unexpected):
        await client.history(ID)


async def test_a_file_is_streamed_with_its_type_and_size(server: StandIn, client: ComfyClient) -> None:
    async def answer(_: web.Request) -> web.StreamResponse:
        return web.Response(body=b"x" * 700_000, content_type="image/png")

    server.answers["/view"] = answer

    async with client.view(FILE) as download:
        chunks = [chunk async for chunk in download.chunks]

    assert (download.content_type, download.size, len(b"".join(chunks))) == ("image/png", 700_000, 700_000)
    assert len(chunks) > 1
    assert server.seen[0][1] == "/view?filename=x_00001_.png&subfolder=a+b/c&type=output"


async def test_a_file_that_the_server_lost_is_gone(server: StandIn, client: ComfyClient) -> None:
    with pytest.raises(FileGone, match="x_00001_"):
        await read(client)


@pytest.mark.parametrize("status", [400, 403, 500])
async def test_a_file_that_is_denied_is_unexpected(server: StandIn, client: ComfyClient, status: int) -> None:
    server.replies("/view", "", status)

    with pytest.raises(Unexpected):
        await read(client)


async def test_a_file_that_stops_half_way_is_a_lost_server(session: aiohttp.ClientSession) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 900\r\nContent-Type: image/png\r\n\r\nhalf")

    async with raw_server(talk) as url:
        with pytest.raises(LostServer):
            await read(ComfyClient(session, url))


async def test_a_file_that_makes_no_progress_is_a_lost_server(server: StandIn, client: ComfyClient) -> None:
    async def stall(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b"begun")
        await asyncio.sleep(20)
        return response

    server.answers["/view"] = stall

    with pytest.raises(LostServer, match="in time"):
        await read(client)


async def test_what_the_reader_of_a_file_raises_is_its_own(server: StandIn, client: ComfyClient) -> None:
    server.replies("/view", "x")

    with pytest.raises(OSError, match="disk full"):
        async with client.view(FILE):
            raise OSError("disk full")


async def test_a_reader_may_leave_a_file_unread(server: StandIn, client: ComfyClient) -> None:
    server.replies("/view", "x" * 1_000_000)
    server.says("/queue", {"queue_running": [], "queue_pending": []})

    async with client.view(FILE):
        pass

    assert (await client.queue()).pending == ()


@pytest.mark.parametrize("streamed", [True, False])
async def test_a_file_is_uploaded_as_the_editor_would(
    server: StandIn, client: ComfyClient, *, streamed: bool
) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        yield b"pic"
        yield b"ture"

    server.says("/upload/image", {"name": "u (1).png", "subfolder": "a\\b", "type": "input"})

    content = pieces() if streamed else b"picture"
    uploaded = await client.upload("u.png", content, content_type="image/png", subfolder="a/b", overwrite=True)

    assert uploaded == UploadedFile("u (1).png", "a/b", "input")
    body = server.seen[0][3]
    assert b'name="image"; filename="u.png"' in body
    assert b"\r\n\r\npicture\r\n" in body
    assert b'name="overwrite"\r\n\r\ntrue' in body
    assert b'name="subfolder"\r\n\r\na/b' in body
    assert b'name="type"\r\n\r\ninput' in body


async def test_a_name_cannot_end_its_header(server: StandIn, client: ComfyClient) -> None:
    server.says("/upload/image", {"name": "x"})

    await client.upload('a"\r\nX-Evil: 1\ud800.png', b"x", content_type="image/png")

    assert b'filename="a\\"__X-Evil: 1_.png"' in server.seen[0][3]


async def test_an_upload_that_nobody_reads_is_a_lost_server(session: aiohttp.ClientSession) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        await asyncio.sleep(20)

    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield b"x" * 1_000_000

    async with raw_server(talk) as url:
        with pytest.raises(LostServer, match="in time"):
            await ComfyClient(session, url, timeouts=QUICK).upload("x", endless(), content_type="image/png")


async def test_a_source_that_fails_is_not_blamed_on_the_server(server: StandIn, client: ComfyClient) -> None:
    async def failing() -> AsyncIterator[bytes]:
        yield b"x"
        raise RuntimeError("the store is away")

    server.says("/upload/image", {"name": "x"})

    with pytest.raises(RuntimeError, match="the store is away"):
        await client.upload("x", failing(), content_type="image/png")


@pytest.mark.parametrize(("document", "status"), [({}, 200), ([], 200), ({"name": ""}, 200), ({}, 400), ({}, 413)])
async def test_an_upload_that_was_not_taken_is_unexpected(
    server: StandIn, client: ComfyClient, document: Any, status: int
) -> None:
    server.says("/upload/image", document, status)

    with pytest.raises(Unexpected):
        await client.upload("x", b"x", content_type="image/png")


def test_a_reference_is_what_a_loader_node_says() -> None:
    assert UploadedFile("x.png", "", "input").reference == "x.png"
    assert UploadedFile("x.png", "a/b", "input").reference == "a/b/x.png"
    assert UploadedFile("x.png", "a", "temp").reference == "a/x.png [temp]"


async def test_orders_without_an_answer_say_what_they_mean(server: StandIn, client: ComfyClient) -> None:
    for path in ("/interrupt", "/queue", "/free"):
        server.replies(path, "")

    await client.interrupt(ID)
    await client.delete([ID])
    await client.free(unload_models=True, free_memory=False)

    assert [(seen[1], json.loads(seen[3])) for seen in server.seen] == [
        ("/interrupt", {"prompt_id": ID}),
        ("/queue", {"delete": [ID]}),
        ("/free", {"unload_models": True, "free_memory": False}),
    ]


async def test_an_order_that_was_not_taken_is_unexpected(server: StandIn, client: ComfyClient) -> None:
    with pytest.raises(Unexpected):
        await client.interrupt(ID)


async def test_model_folders_and_their_files_are_lists_of_names(server: StandIn, client: ComfyClient) -> None:
    server.says("/models", ["loras", "vae"])
    server.says("/models/loras", ["a.safetensors", "sub\\b.safetensors"])

    assert await client.models() == ["loras", "vae"]
    assert await client.models_in("loras") == ["a.safetensors", "sub\\b.safetensors"]
    assert await client.models_in("no such/folder") is None
    assert server.seen[-1][1] == "/models/no%20such%2Ffolder"


async def test_every_failure_is_of_one_family(server: StandIn, client: ComfyClient) -> None:
    server.replies("/models", "no", 500)

    with pytest.raises(ComfyError):
        await client.models()
