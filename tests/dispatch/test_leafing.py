"""What packs add to the editor is asked of each server after its nodes; nobody waits for it."""

import asyncio
from collections.abc import AsyncGenerator

import aiohttp
import pytest
from aiohttp import web

from atelier.comfy.client import ComfyClient, Timeouts
from atelier.dispatch.leafing import LARGEST, leaf_through
from atelier.fleet.store import catalogs
from atelier.simulator.config import SimulatorConfig
from support.comfy_standin import StandIn, standing_in
from support.fleet import Ground, simulator
from support.serving import eventually


@pytest.fixture
async def session() -> AsyncGenerator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


@pytest.fixture
async def strange() -> AsyncGenerator[StandIn]:
    async with standing_in() as server:
        yield server


async def test_equal_servers_have_equal_pages(session: aiohttp.ClientSession) -> None:
    config = SimulatorConfig(packs=("spark",))
    async with simulator(config) as one, simulator(config) as other:
        told = [await leaf_through(ComfyClient(session, url), 10, with_files=False) for url in (one, other)]

    assert told[0] is not None
    assert told[0] == told[1]
    assert told[0].extensions == ["/extensions/spark/spark.js"]
    assert "definitions" in told[0].subgraphs["spark"]["data"]
    assert told[0].files == {}


async def test_files_come_along_where_nobody_else_can_fetch_them(session: aiohttp.ClientSession) -> None:
    async with simulator(SimulatorConfig(packs=("spark",))) as url:
        told = await leaf_through(ComfyClient(session, url), 10, with_files=True)

    assert told is not None
    assert told.files.keys() == {
        "/extensions/spark/spark.js",
        "/api/workflow_templates/spark/simulated start.json",
    }


async def test_what_an_old_or_strange_server_says_is_empty(
    session: aiohttp.ClientSession, strange: StandIn
) -> None:
    strange.replies("/extensions", "<html>", 200)
    strange.says("/i18n", {"en": {"a": "x" * LARGEST}})
    strange.says("/workflow_templates", {"a": "no list", "b": ["one", 2, ""]})
    strange.says("/global_subgraphs", ["no", "object"])

    told = await leaf_through(ComfyClient(session, strange.url), 10, with_files=True)

    assert told is not None
    assert told.body == {
        "extensions": [],
        "translations": {},
        "templates": {"b": ["one"]},
        "subgraphs": {},
        "replacements": {},
        "files": {},
    }


async def test_a_server_that_does_not_answer_in_time_tells_nothing(
    session: aiohttp.ClientSession, strange: StandIn
) -> None:
    async def hangs(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await asyncio.Event().wait()
        return response

    strange.answers["/i18n"] = hangs
    client = ComfyClient(session, strange.url, timeouts=Timeouts(read=0.2))

    assert await leaf_through(client, 10, with_files=False) is None


async def test_a_dispatcher_writes_down_what_its_servers_add(ground: Ground) -> None:
    async with simulator(SimulatorConfig(packs=("spark",))) as url:
        await ground.add_server(url, "rich")
        ground.tasks.start(ground.dispatcher().run())

        async def written() -> bool:
            async with ground.database.transaction() as tx:
                digests = await catalogs.page_digests(tx)
                pages = await catalogs.pages(tx, set(digests.values()))
            return [one.extensions for one in pages] == [["/extensions/spark/spark.js"]]

        await eventually(written)
