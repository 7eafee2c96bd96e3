"""What no job names goes after a day, and never from under a job that is being accepted at that moment."""

import asyncio

import pytest
from blake3 import blake3

from atelier.jobs.model import Job
from atelier.jobs.store import submit as submits
from atelier.jobs.store import unnamed
from atelier.jobs.store.unnamed import GRAPHS, REQUIREMENTS, Kind
from atelier.kit.database import Tx
from support.yard import Yard, blocked, requirement

BODY = '{"1": {}}'
GRAPH = blake3(BODY.encode()).digest()


async def age(yard: Yard, days: int = 3) -> None:
    """Everything that is there, and every mark, is so many days older."""
    for table in ("graphs", "requirements"):
        await yard.run(
            f"UPDATE {table} SET created_at = created_at - make_interval(days => %s),"  # noqa: S608 - fixed
            " marked_at = marked_at - make_interval(days => %s)",
            days,
            days,
        )


async def sweep(yard: Yard, kind: Kind = GRAPHS) -> None:
    async with yard.database.transaction() as tx:
        await unnamed.unmark(tx, kind)
        await unnamed.delete(tx, kind)
        await unnamed.mark(tx, kind)


async def submit_on(tx: Tx, yard: Yard) -> Job | None:
    return await submits.submit(tx, yard.job(graph_digest=GRAPH, graph_text=BODY))


async def submitted(yard: Yard) -> None:
    async with yard.database.transaction() as tx:
        assert await submit_on(tx, yard)


async def graphs(yard: Yard) -> list[tuple[bytes, bool]]:
    rows = await yard.rows("SELECT digest, marked_at IS NOT NULL FROM graphs")
    return [(bytes(digest), marked) for digest, marked in rows]


@pytest.fixture
async def abandoned(yard: Yard) -> Yard:
    """A graph whose only job was deleted, some days ago."""
    await submitted(yard)
    await yard.run("DELETE FROM jobs")
    await age(yard)
    return yard


async def test_what_nobody_names_is_marked_and_goes_a_day_later(abandoned: Yard) -> None:
    await sweep(abandoned)
    assert await graphs(abandoned) == [(GRAPH, True)]

    await sweep(abandoned)
    assert await graphs(abandoned) == [(GRAPH, True)]

    await age(abandoned, 2)
    await sweep(abandoned)
    assert await graphs(abandoned) == []


async def test_what_is_young_or_named_stays(yard: Yard) -> None:
    await submitted(yard)
    await age(yard)
    await yard.run("INSERT INTO graphs (digest, body) VALUES ('young', '{}')")

    await sweep(yard)

    assert await graphs(yard) == [(GRAPH, False), (b"young", False)]


async def test_a_job_that_names_it_again_takes_the_mark_away(abandoned: Yard) -> None:
    await sweep(abandoned)

    await submitted(abandoned)

    assert await graphs(abandoned) == [(GRAPH, False)]


async def test_a_mark_that_a_job_overtook_goes_before_anything_is_deleted(abandoned: Yard) -> None:
    await sweep(abandoned)
    await submitted(abandoned)
    await abandoned.run("UPDATE graphs SET marked_at = now() - interval '9 days'")

    await sweep(abandoned)

    assert await graphs(abandoned) == [(GRAPH, False)]


async def test_a_job_that_is_accepted_while_its_graph_is_marked_keeps_it(abandoned: Yard) -> None:
    """The submit sees no mark; the round does not see the job."""
    async with abandoned.database.transaction() as accepting:
        await submit_on(accepting, abandoned)
        await sweep(abandoned)
    assert await graphs(abandoned) == [(GRAPH, True)]

    await age(abandoned)
    await sweep(abandoned)

    assert await graphs(abandoned) == [(GRAPH, False)]


async def test_a_job_that_is_accepted_while_its_graph_would_be_deleted_keeps_it(abandoned: Yard) -> None:
    await sweep(abandoned)
    await age(abandoned)

    async with abandoned.database.transaction() as accepting:
        await submit_on(accepting, abandoned)
        await sweep(abandoned)

    assert await graphs(abandoned) == [(GRAPH, False)]


async def test_a_job_that_comes_while_its_graph_is_being_deleted_brings_it_back(abandoned: Yard) -> None:
    await sweep(abandoned)
    await age(abandoned)

    async with (
        await abandoned.database.connect() as late,
        asyncio.TaskGroup() as group,
        abandoned.database.transaction() as deleting,
    ):
        assert await unnamed.delete(deleting, GRAPHS) == 1
        accepting = group.create_task(submit_on(late, abandoned))
        await blocked(deleting, late.info.backend_pid)

    assert accepting.result() is not None
    assert await graphs(abandoned) == [(GRAPH, False)]


async def test_a_graph_that_is_named_all_the_time_is_not_written_to(yard: Yard) -> None:
    await submitted(yard)
    before = await yard.value("SELECT xmin::text || ctid::text || xmax::text FROM graphs")

    await submitted(yard)

    assert await yard.value("SELECT xmin::text || ctid::text || xmax::text FROM graphs") == before


async def test_requirement_sets_go_the_same_way_and_come_back_when_they_are_asked_for(yard: Yard) -> None:
    await submitted(yard)
    needed = await requirement(yard.database, "A")
    await age(yard)
    await sweep(yard, REQUIREMENTS)

    assert await requirement(yard.database, "A") == needed
    assert await yard.rows("SELECT id FROM requirements WHERE marked_at IS NOT NULL") == []
    await sweep(yard, REQUIREMENTS)
    await age(yard)
    await sweep(yard, REQUIREMENTS)

    assert await yard.rows("SELECT id FROM requirements") == [(yard.requirement_id,)]
    assert await requirement(yard.database, "A") > needed
