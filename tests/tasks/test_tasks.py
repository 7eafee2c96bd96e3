"""Tasks that are deferred with a transaction, run at least once, and never twice at a time for one key."""

import asyncio
import hashlib
import importlib.metadata
import subprocess
import sys

import pytest

from atelier.kit.database import Database
from atelier.kit.errors import SetupFailed
from atelier.kit.wakeups import Wakeups
from atelier.tasks import TOPIC, Rhythm, Tasks, defer, prepare
from atelier.tasks.schema import schema_file
from support.postgres import opened
from support.tasks_workers import SOURCES, Site, running, until

QUICK = Rhythm(heartbeat=0.2, stalled=1.0, poll=0.2, grace=0.5)


async def test_a_deferred_task_runs_with_its_arguments_and_is_gone(tasks_site: Site) -> None:
    seen: list[tuple[str, int]] = []

    async def greet(name: str, times: int) -> None:
        seen.append((name, times))

    tasks = Tasks(tasks_site.database, Wakeups(tasks_site.database), rhythm=QUICK)
    tasks.add("greet", greet)
    async with running(tasks):
        await tasks_site.defer("greet", "ada", name="Ada", times=2)
        await until([], tasks_site.statuses)

    assert seen == [("Ada", 2)]


async def test_what_a_rolled_back_transaction_deferred_never_was(tasks_site: Site) -> None:
    async def give_up() -> None:
        async with tasks_site.database.transaction() as tx:
            await defer(tx, "greet", "ada")
            raise RuntimeError("no")

    with pytest.raises(RuntimeError):
        await give_up()

    assert await tasks_site.statuses() == []


async def test_while_a_task_waits_its_key_is_not_added_again_and_the_transaction_goes_on(tasks_site: Site) -> None:
    async with tasks_site.database.transaction() as tx:
        first = await defer(tx, "greet", "ada")
        second = await defer(tx, "greet", "ada")
        other = await defer(tx, "greet", "grace")
        other_task = await defer(tx, "wave", "ada")

    assert (first, second, other, other_task) == (True, False, True, True)
    assert await tasks_site.statuses() == ["todo", "todo", "todo"]


async def test_a_key_deferred_while_it_runs_runs_once_more_afterwards(tasks_site: Site) -> None:
    running_now: list[str] = []
    most_at_once: list[int] = []
    go_on = asyncio.Event()

    async def hold() -> None:
        running_now.append("x")
        most_at_once.append(len(running_now))
        await go_on.wait()
        running_now.pop()

    tasks = Tasks(tasks_site.database, Wakeups(tasks_site.database), rhythm=QUICK)
    tasks.add("hold", hold)
    async with running(tasks):
        await tasks_site.defer("hold", "a")
        await until(["doing"], tasks_site.statuses)
        await tasks_site.defer("hold", "a")
        await asyncio.sleep(0.5)
        waiting = await tasks_site.statuses()
        go_on.set()
        await until([], tasks_site.statuses)

    assert waiting == ["doing", "todo"]
    assert most_at_once == [1, 1]


async def test_a_task_that_fails_is_tried_again_later_and_given_up_in_the_end(
    tasks_site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("atelier.tasks.worker.FIRST_RETRY_SECONDS", 0)
    tries: list[str] = []

    async def fail() -> None:
        tries.append("try")
        raise RuntimeError("as always")

    tasks = Tasks(tasks_site.database, Wakeups(tasks_site.database), rhythm=QUICK)
    tasks.add("fail", fail, tries=3)
    async with running(tasks):
        await tasks_site.defer("fail", "a")
        await until(["failed"], tasks_site.statuses)

    assert tries == ["try", "try", "try"]


async def test_a_failed_task_waits_for_its_next_try_in_front_of_a_new_one_of_its_key(tasks_site: Site) -> None:
    started: list[str] = []
    go_on = asyncio.Event()

    async def fail_first(which: str) -> None:
        started.append(which)
        await go_on.wait()
        if which == "first":
            raise RuntimeError("no")

    tasks = Tasks(tasks_site.database, Wakeups(tasks_site.database), rhythm=QUICK)
    tasks.add("fail_first", fail_first)
    async with running(tasks):
        await tasks_site.defer("fail_first", "a", which="first")
        await until(["doing"], tasks_site.statuses)
        await tasks_site.defer("fail_first", "a", which="second")
        go_on.set()
        await until(["todo", "todo"], tasks_site.statuses)

    assert started == ["first"]


async def test_running_tasks_of_a_stopped_worker_wait_for_the_next_one(tasks_site: Site) -> None:
    started = asyncio.Event()

    async def hold() -> None:
        started.set()
        await asyncio.sleep(600)

    tasks = Tasks(tasks_site.database, Wakeups(tasks_site.database), rhythm=QUICK)
    tasks.add("hold", hold, tries=1)
    async with running(tasks):
        await tasks_site.defer("hold", "a")
        async with asyncio.timeout(30):
            await started.wait()

    assert await tasks_site.statuses() == ["todo"]
    assert await tasks_site.workers() == ["0"]


async def test_a_wake_up_after_the_commit_starts_the_task_before_the_next_poll(tasks_site: Site) -> None:
    done = asyncio.Event()

    async def note() -> None:
        done.set()

    wakeups = Wakeups(tasks_site.database)
    tasks = Tasks(tasks_site.database, wakeups, rhythm=Rhythm(poll=3600))
    tasks.add("note", note)
    async with running(tasks):
        await until(["1"], tasks_site.workers)
        await asyncio.sleep(0.2)
        await tasks_site.defer("note", "a")
        wakeups.publish(TOPIC)
        async with asyncio.timeout(30):
            await done.wait()


async def test_a_task_for_later_waits(tasks_site: Site) -> None:
    async with tasks_site.database.transaction() as tx:
        await defer(tx, "greet", "ada", after=3600)

    assert await tasks_site.ask("SELECT scheduled_at > now() + interval '59 minutes' FROM procrastinate_jobs") == [
        "True"
    ]


async def test_periodic_tasks_run_once_for_each_time_among_all_workers(tasks_site: Site) -> None:
    ticks: list[str] = []

    async def tick() -> None:
        ticks.append("tick")

    def worker() -> Tasks:
        tasks = Tasks(tasks_site.database, Wakeups(tasks_site.database), rhythm=QUICK)
        tasks.every("* * * * * */1", "tick", tick)
        return tasks

    async with running(worker()), running(worker()), asyncio.timeout(30):
        while len(ticks) < 3:  # noqa: ASYNC110 - a list has no event
            await asyncio.sleep(0.05)
    times = await tasks_site.ask("SELECT defer_timestamp FROM procrastinate_periodic_defers")
    deferred = await tasks_site.ask("SELECT last_value FROM procrastinate_jobs_id_seq")

    assert len(times) == 1
    assert len(ticks) <= int(deferred[0])


async def test_deferring_sends_no_notification_that_would_serialise_the_commits(tasks_site: Site) -> None:
    async with await tasks_site.database.connect() as listener:
        await listener.execute("LISTEN procrastinate_any_queue_v1")
        await tasks_site.defer("greet", "ada")
        heard = [notice async for notice in listener.notifies(timeout=0.3)]

    assert heard == []


async def test_processes_that_race_make_the_tables_once(empty_database_url: str) -> None:
    async def one() -> bool:
        async with opened(empty_database_url) as database:
            return await prepare(database)

    async with asyncio.TaskGroup() as group:
        racers = [group.create_task(one()) for _ in range(4)]

    assert sorted(racer.result() for racer in racers) == [False, False, False, True]


async def test_tables_of_another_version_are_refused(database: Database) -> None:
    async with database.transaction() as tx:
        await tx.execute("COMMENT ON TABLE procrastinate_jobs IS 'procrastinate schema of old'")

    with pytest.raises(SetupFailed, match="of another version"):
        await prepare(database)


def test_the_schema_that_we_write_to_is_the_one_we_know() -> None:
    """When this fails after an upgrade: read its migrations, write one for ours, then note the new digest here."""
    version = importlib.metadata.version("procrastinate")
    digest = hashlib.sha256(schema_file().read_bytes()).hexdigest()[:16]

    assert version.startswith("3.10.")
    assert digest == "c70ec4b400a60ad9"


def test_deferring_does_not_import_procrastinate() -> None:
    program = "import sys, atelier.tasks; sys.exit('procrastinate' in sys.modules)"

    done = subprocess.run([sys.executable, "-c", program], env={"PYTHONPATH": str(SOURCES)}, check=False)

    assert done.returncode == 0
