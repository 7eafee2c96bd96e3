"""What sockets hear of prompts that run on simulated servers: as recorded, once, wherever socket and run are."""

import asyncio
import uuid
from collections.abc import AsyncGenerator

import pytest

from support.fleet import Ground, picture, sampled, simulator
from support.native_site import SLOW, Site, native_site
from support.serving import eventually
from support.sockets import MODERN, Socket, connected


@pytest.fixture
async def site(ground: Ground) -> AsyncGenerator[Site]:
    async with native_site(ground) as made:
        yield made


def without_statuses(types: list[str]) -> list[str]:
    return [kind for kind in types if kind not in {"status", "feature_flags"}]


PICTURE = [
    "execution_start",
    "execution_cached",
    "progress_state",
    "executing",
    "progress_state",
    "progress_state",
    "executing",
    "executed",
    "progress_state",
    "execution_success",
    "executing",
]


async def test_a_prompt_is_told_as_a_server_tells_it(site: Site) -> None:
    async with connected(site.near, site.tenant.headers, "me", MODERN) as socket:
        prompt_id = await site.post(picture(5))

        types = await socket.finished(prompt_id)

        assert collapsed(types) == collapsed(PICTURE)
        assert without_statuses(socket.types()) == types
        assert socket.types()[-3:] == ["execution_success", "status", "executing"]
        assert prompt_id in await site.ask("GET", f"/history/{prompt_id}")


async def test_a_prompt_is_told_to_a_socket_in_another_process(site: Site) -> None:
    async with connected(site.far, site.tenant.headers, "me", MODERN) as socket:
        prompt_id = await site.post(picture(6))

        types = await socket.finished(prompt_id)

        assert collapsed(types) == collapsed(PICTURE)
        assert prompt_id in await site.ask("GET", f"/history/{prompt_id}", url=site.far)


@pytest.mark.parametrize("place", ["near", "far"])
async def test_pictures_and_previews_come_in_the_layout_that_was_asked_for(site: Site, place: str) -> None:
    url = str(getattr(site, place))
    async with (
        connected(url, site.tenant.headers, "me", MODERN) as modern,
        connected(url, site.tenant.headers, "me") as old,
    ):
        prompt_id = await site.post(sampled(steps=6))
        await modern.finished(prompt_id)
        await old.finished(prompt_id)

    assert {frame[:4] for frame in frames(modern)} == {b"\0\0\0\4"}
    assert {frame[:8] for frame in frames(old)} == {b"\0\0\0\1\0\0\0\1"}
    assert prompt_id.encode() in frames(modern)[0]


async def test_results_on_the_socket_all_arrive(site: Site) -> None:
    graph = {
        "1": {"class_type": "EmptyImage", "inputs": {"width": 8, "height": 8, "batch_size": 3, "color": 1}},
        "2": {"class_type": "SaveImageWebsocket", "inputs": {"images": ["1", 0]}},
    }
    async with (
        connected(site.near, site.tenant.headers, "me") as near,
        connected(site.far, site.tenant.headers, "me") as far,
    ):
        prompt_id = await site.post(graph)
        await near.finished(prompt_id)
        await far.finished(prompt_id)

    for socket in (near, far):
        assert [frame[:16] for frame in frames(socket)] == [b"\0\0\0\1\0\0\0\2\x89PNG\r\n\x1a\n"] * 3


@pytest.mark.parametrize("place", ["near", "far"])
async def test_who_comes_back_in_mid_run_hears_what_runs_and_how_it_ends(site: Site, place: str) -> None:
    url = str(getattr(site, place))
    async with connected(url, site.tenant.headers, "me") as first:
        prompt_id = await site.post(sampled(steps=20))
        await first.until("progress", prompt_id=prompt_id)
    async with connected(url, site.tenant.headers, "me") as again:
        said = await again.until("executing")
        await again.until("executing", node=None, prompt_id=prompt_id)

        assert (said["node"], said["prompt_id"]) == ("5", prompt_id)
        assert "execution_start" not in again.types()
        assert again.types().count("execution_success") == 1


async def test_a_prompt_that_is_tried_on_another_server_begins_and_ends_once(site: Site) -> None:
    async with simulator(SLOW) as second, connected(site.near, site.tenant.headers, "me") as socket:
        await site.ground.add_server(second, "sim-2")
        await site.ground.known(2)
        for server in (site.server, second):
            await site.http.post(f"{server}/control/fault", json={"fault": "out_of_memory", "times": 1})
        prompt_id = await site.post(sampled())
        types = await socket.finished(prompt_id)

    assert types.count("executing") > 7
    assert types.count("execution_start") == types.count("execution_success") == 1
    assert (types[0], types[-2:]) == ("execution_start", ["execution_success", "executing"])


async def test_others_hear_nothing_but_the_status_and_strangers_not_even_that(site: Site) -> None:
    async with (
        connected(site.near, site.tenant.headers, "me") as mine,
        connected(site.near, site.tenant.headers, "another") as other,
        connected(site.far, site.tenant.headers, "another") as far,
        connected(site.near, site.stranger.headers, "me") as stranger,
    ):
        prompt_id = await site.post(picture(7))
        await mine.finished(prompt_id)

        for socket in (other, far):
            await socket.quiet(0.6)
            assert set(socket.types()) == {"status"}
            assert socket.heard[-1]["data"]["status"]["exec_info"]["queue_remaining"] == 0
        assert await stranger.quiet(0.1) == []


async def test_a_prompt_without_a_client_is_heard_by_all_without_what_it_does(site: Site) -> None:
    async with (
        connected(site.near, site.tenant.headers, "one", MODERN) as one,
        connected(site.far, site.tenant.headers, "two") as two,
        connected(site.near, site.stranger.headers) as stranger,
    ):
        prompt_id = await site.post(sampled(steps=6), client_id=None)
        await eventually(lambda: site.is_in_history(prompt_id))

        for socket in (one, two):
            await socket.quiet(0.6)
            assert set(socket.types(prompt_id)) == {"progress_state", "progress"}
            assert {frame[:4] for frame in frames(socket)} == {b"\0\0\0\1"}
        assert await stranger.quiet(0.1) == []


async def test_an_interruption_is_told_with_its_end(site: Site) -> None:
    async with (
        connected(site.near, site.tenant.headers, "me") as near,
        connected(site.far, site.tenant.headers, "me") as far,
    ):
        prompt_id = await site.post(sampled(steps=200))
        await near.until("progress", prompt_id=prompt_id, value=20)
        await site.ask("POST", "/interrupt", {"prompt_id": prompt_id})

        for socket in (near, far):
            types = await socket.finished(prompt_id)
            assert types[-2:] == ["execution_interrupted", "executing"]


async def test_a_failed_node_is_told_as_it_was(site: Site) -> None:
    async with connected(site.near, site.tenant.headers, "me") as socket:
        broken = picture(1)
        broken["3"] = {"class_type": "TestSyncError", "inputs": {"value": ["1", 0]}}
        broken["2"]["inputs"]["images"] = ["3", 0]
        prompt_id = await site.post(broken)
        error = await socket.until("execution_error", prompt_id=prompt_id)
        await socket.finished(prompt_id)

    assert (error["node_id"], error["node_type"]) == ("3", "TestSyncError")
    assert error["exception_message"].startswith("Intentional")


async def test_a_prompt_that_is_dropped_while_it_waits_has_no_messages_of_its_own(site: Site) -> None:
    async with connected(site.near, site.tenant.headers, "me") as socket:
        running = await site.post(sampled(steps=20))
        await socket.until("progress", prompt_id=running)
        waiting = await site.post(picture(8))
        await site.ask("POST", "/queue", {"delete": [waiting]})
        await socket.finished(running)
        await socket.quiet()

        assert socket.types(waiting) == []


async def test_statuses_are_few_however_many_jobs_change(site: Site) -> None:
    async with connected(site.near, site.tenant.headers, "watcher") as watcher:
        began = asyncio.get_running_loop().time()
        ids = [await site.post(picture(100 + number), client_id="elsewhere") for number in range(30)]
        await eventually(lambda: site.is_in_history(ids[-1]))
        await watcher.quiet(0.6)
        seconds = asyncio.get_running_loop().time() - began

        assert len(watcher.heard) <= seconds / 0.2 + 3
        assert watcher.heard[-1]["data"]["status"]["exec_info"]["queue_remaining"] == 0


async def test_many_prompts_of_one_client_are_each_told_whole(site: Site) -> None:
    async with (
        connected(site.near, site.tenant.headers, "me") as near,
        connected(site.far, site.tenant.headers, "me") as far,
    ):
        places = [site.near, site.far] * 10
        ids = await asyncio.gather(*(site.post(picture(200 + n), url) for n, url in enumerate(places)))
        for socket in (near, far):
            waited = set(ids)
            while waited:
                said = await socket.until("executing", node=None)
                waited.remove(said["prompt_id"])
            await socket.quiet()
            for prompt_id in ids:
                assert collapsed(socket.types(prompt_id)) == collapsed(PICTURE)


async def test_an_id_that_the_client_chose_is_the_one_that_it_hears(site: Site) -> None:
    chosen = str(uuid.uuid4())
    async with connected(site.near, site.tenant.headers, "me") as socket:
        assert await site.post(picture(9), prompt_id=chosen) == chosen

        assert (await socket.finished(chosen))[0] == "execution_start"


def frames(socket: Socket) -> list[bytes]:
    return [message for message in socket.heard if isinstance(message, bytes)]


def collapsed(types: list[str]) -> list[str]:
    """States of progress are worth only their newest: so many in a row are one, and between processes none."""
    return [kind for kind in types if kind not in {"progress_state", "progress"}]
