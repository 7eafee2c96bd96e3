"""Tasks outlive their workers: killed, frozen, or killing them one after the other."""

import os
import signal

from support.tasks_workers import Site, kill, until, worker


async def test_the_task_of_a_killed_worker_is_taken_over_by_another(tasks_site: Site) -> None:
    await tasks_site.defer("hold", "a", what="a")
    async with worker(tasks_site, "first") as first:
        await until(["first"], lambda: tasks_site.started("a"))
        await kill(first)

        async with worker(tasks_site, "second"):
            await until(["first", "second"], lambda: tasks_site.started("a"))
            await tasks_site.release("a", "second")
            await until([], tasks_site.statuses)


async def test_a_frozen_worker_that_wakes_does_not_end_the_task_of_the_one_that_took_it_over(
    tasks_site: Site,
) -> None:
    """It joins again under another number only after it tried to end what it was doing."""
    await tasks_site.defer("hold", "a", what="a")
    async with worker(tasks_site, "frozen") as frozen:
        await until(["frozen"], lambda: tasks_site.started("a"))
        os.kill(frozen.pid, signal.SIGSTOP)
        async with worker(tasks_site, "second"):
            await until(["frozen", "second"], lambda: tasks_site.started("a"))
            await tasks_site.release("a", "frozen")
            os.kill(frozen.pid, signal.SIGCONT)
            await until(["2"], tasks_site.workers)
            still_held = await tasks_site.statuses()
            await tasks_site.release("a", "second")
            await until([], tasks_site.statuses)

    assert still_held == ["doing"]


async def test_a_task_that_kills_its_workers_is_given_up_after_its_tries(tasks_site: Site) -> None:
    await tasks_site.defer("die", "a", what="a")
    for name in ("first", "second"):
        async with worker(tasks_site, name) as victim:
            await victim.wait()

    async with worker(tasks_site, "third"):
        await until(["failed"], tasks_site.statuses)
        await tasks_site.defer("hold", "b", what="b")
        await until(["third"], lambda: tasks_site.started("b"))

    assert await tasks_site.started("a") == ["first", "second"]
