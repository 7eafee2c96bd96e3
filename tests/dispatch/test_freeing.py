"""Servers give back memory when they are asked to, and never in the middle of somebody's run."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from atelier.comfy.client import ComfyClient
from atelier.fleet import service as fleet
from atelier.fleet.store import freeing
from atelier.kit.ids import ServerId
from atelier.simulator.config import SimulatorConfig
from support.fleet import Ground, sampled, simulator

SLOW = SimulatorConfig(control=True, step_seconds=0.05)


async def ask(ground: Ground, *, unload_models: bool = True, free_memory: bool = False) -> None:
    async with ground.database.transaction() as tx:
        await fleet.ask_free(tx, unload_models=unload_models, free_memory=free_memory)
    ground.wakeups.publish("free")


async def marks(ground: Ground) -> list[tuple[Any, ...]]:
    async with ground.database.autocommit() as tx:
        rows = await tx.execute(
            "SELECT id, free_models, free_memory FROM servers WHERE free_asked_at IS NOT NULL ORDER BY id"
        )
        return await rows.fetchall()


async def events(ground: Ground, server_id: str) -> list[str]:
    async with ground.database.autocommit() as tx:
        found = await fleet.events(tx, ServerId(server_id))
    return [event.kind for event in found if event.kind in {"free_asked", "freed"}]


async def until(enough: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(20):
        while not await enough():  # noqa: ASYNC110 - what is waited for tells nobody
            await asyncio.sleep(0.05)


async def free_vram(ground: Ground, url: str) -> int:
    stats = await ComfyClient(ground.http, url).system_stats()
    return int(stats["devices"][0]["vram_free"])


async def test_an_idle_server_unloads_its_models_and_is_not_believed_warm_any_more(ground: Ground) -> None:
    async with simulator() as url:
        await ground.add_server(url, "sim-1")
        ground.tasks.start(ground.dispatcher().run())
        await ground.known(1)
        empty = await free_vram(ground, url)
        await ground.ended((await ground.submit(sampled())).id)
        assert await free_vram(ground, url) < empty

        await ask(ground)

        await until(lambda: _is(marks(ground), []))
        await until(lambda: _is(free_vram(ground, url), empty))
        await until(lambda: _is(warm(ground), []))
    assert await events(ground, "sim-1") == ["freed", "free_asked"]


async def test_a_server_that_works_is_freed_when_it_is_done(ground: Ground) -> None:
    async with simulator(SLOW) as url:
        await ground.add_server(url, "sim-1")
        ground.tasks.start(ground.dispatcher().run())
        await ground.known(1)
        job = await ground.began((await ground.submit(sampled(steps=30))).id)

        await ask(ground, unload_models=False, free_memory=True)
        await asyncio.sleep(0.5)
        left = await marks(ground)
        ended = await ground.ended(job.id)

        assert left == [("sim-1", False, True)]
        assert ended.state == "succeeded"
        await until(lambda: _is(marks(ground), []))


async def test_wishes_add_up_and_one_that_came_meanwhile_stays(ground: Ground) -> None:
    await ground.add_server("http://127.0.0.1:9", "one")
    await ask(ground, unload_models=True)
    await ask(ground, unload_models=False, free_memory=True)
    await ask(ground, unload_models=False, free_memory=False)
    dispatcher = ground.dispatcher()
    task = ground.tasks.start(dispatcher.run())
    async with ground.database.autocommit() as tx:
        rows = await tx.execute("SELECT free_asked_at FROM servers")
        row = await rows.fetchone()
        assert row is not None
        old = freeing.FreeAsked(ServerId("one"), 1, row[0], unload_models=True, free_memory=True)
    assert await marks(ground) == [("one", True, True)]

    await ask(ground)
    async with ground.database.transaction() as tx:
        done = await freeing.done(tx, old)

    assert not done
    assert await marks(ground) == [("one", True, True)]
    task.cancel()


async def warm(ground: Ground) -> list[str]:
    async with ground.database.autocommit() as tx:
        rows = await tx.execute("SELECT unnest(warm) FROM servers")
        return [row[0] for row in await rows.fetchall()]


async def _is(asked: Awaitable[Any], wanted: object) -> bool:
    return bool(await asked == wanted)
