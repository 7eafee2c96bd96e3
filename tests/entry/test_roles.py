import asyncio
import json
from asyncio.subprocess import DEVNULL, PIPE

import pytest

from support.terminal import Terminal, ready_line, stopped


@pytest.mark.parametrize(
    ("role", "says"),
    [
        (("serve", "--port", "0"), "Atelier's API listens at http://127.0.0.1:"),
        (("dispatch",), "The dispatcher drives servers"),
        (("tasks",), "Background tasks run"),
    ],
)
async def test_a_role_alone_says_when_it_is_ready_and_stops_in_order(
    terminal: Terminal, database_url: str, role: tuple[str, ...], says: str
) -> None:
    process = await terminal.start(*role, ATELIER_DATABASE_URL=database_url)
    assert process.stdout is not None

    line = await process.stdout.readline()
    ended = await stopped(process)

    assert line.decode().startswith(says)
    assert ended.code == 0, ended.err
    assert "Traceback" not in ended.err


async def test_roles_of_one_database_share_what_one_of_them_is_told(
    terminal: Terminal, database_url: str, simulator_url: str
) -> None:
    dispatcher = await terminal.start("dispatch", "--comfyui", simulator_url, ATELIER_DATABASE_URL=database_url)
    assert dispatcher.stdout is not None
    await dispatcher.stdout.readline()

    listed = await terminal.run("servers", "list", "--json", ATELIER_DATABASE_URL=database_url)
    await stopped(dispatcher)

    assert [server["url"] for server in json.loads(listed.out)] == [simulator_url]


async def test_two_dispatchers_keep_each_their_own_servers(
    terminal: Terminal, database_url: str, simulator_url: str
) -> None:
    names = ("red", "blue")
    running = [
        await terminal.start(
            "dispatch", "--comfyui", simulator_url, ATELIER_DATABASE_URL=database_url, ATELIER_DISPATCHER_NAME=name
        )
        for name in names
    ]
    for dispatcher in running:
        assert dispatcher.stdout is not None
        await dispatcher.stdout.readline()

    listed = await terminal.run("servers", "list", "--json", ATELIER_DATABASE_URL=database_url)
    for dispatcher in running:
        await stopped(dispatcher)

    address = simulator_url.removeprefix("http://").replace(":", "-")
    assert [server["id"] for server in json.loads(listed.out)] == [f"blue-{address}", f"red-{address}"]


async def test_dispatchers_of_one_common_list_share_its_servers(
    terminal: Terminal, database_url: str, simulator_url: str
) -> None:
    common = {"ATELIER_DATABASE_URL": database_url, "ATELIER_COMFYUI_URLS": simulator_url}
    running = [
        await terminal.start("dispatch", stdin=DEVNULL, **common, ATELIER_DISPATCHER_NAME=name)
        for name in ("red", "blue")
    ]
    for dispatcher in running:
        assert dispatcher.stdout is not None
        await dispatcher.stdout.readline()

    listed = await terminal.run("servers", "list", "--json", ATELIER_DATABASE_URL=database_url)
    for dispatcher in running:
        await stopped(dispatcher)

    assert [server["id"] for server in json.loads(listed.out)] == [
        simulator_url.removeprefix("http://").replace(":", "-")
    ]


async def test_who_names_a_server_that_others_drive_is_told(terminal: Terminal, database_url: str) -> None:
    everywhere = {"ATELIER_DATABASE_URL": database_url}
    await terminal.run("servers", "add", "http://gpu.invalid:8188", "--id", "gpu", **everywhere)

    dispatcher = await terminal.start(
        "dispatch", "--comfyui", "http://gpu.invalid:8188", stdin=DEVNULL, **everywhere
    )
    assert dispatcher.stdout is not None
    await dispatcher.stdout.readline()
    ended = await stopped(dispatcher)

    assert "http://gpu.invalid:8188 is driven by every dispatcher as well, as gpu" in ended.err


async def test_a_simulated_server_ends_with_its_parent(terminal: Terminal) -> None:
    process = await terminal.start("simulate", "--json", "--with-parent", "--port", "0", stdin=PIPE)
    assert process.stdin is not None
    ready = await ready_line(process)

    process.stdin.close()
    async with asyncio.timeout(10):
        code = await process.wait()

    assert ready["url"].startswith("http://127.0.0.1:")
    assert code == 0


async def test_a_parent_that_is_no_pipe_is_refused(terminal: Terminal) -> None:
    ended = await terminal.run("simulate", "--with-parent", "--port", "0")

    assert (ended.code, ended.err.count("\n")) == (1, 1)
