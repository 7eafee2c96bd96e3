"""What a job was made of stands or falls with it, and is read as it was written."""

import asyncio
import uuid
from collections.abc import Sequence
from typing import Any

import pytest
from blake3 import blake3

from atelier.jobs import service
from atelier.jobs.model import IdempotencyKey, JobState
from atelier.jobs.prompt import Prompt
from atelier.jobs.recipe import Finish, Metadata, PictureFormat, Recipe, Webhook
from atelier.jobs.service import IdempotencyKeyReused, QueueBounds, QueueFull
from atelier.jobs.store import recipes
from atelier.kit.ids import AccountId, JobId, new_uuid
from support.yard import Yard

KEY = IdempotencyKey("order-1", b"h" * 32)
TABLES = ("jobs", "holds", "job_events", "job_recipes", "idempotency_keys")

WHOLE = Recipe(
    workflow="text-to-image",
    workflow_key=7,
    revision=3,
    version="1.2.0",
    params={"prompt": "a lighthouse", "steps": 20, "cfg": 4.5, "loras": [{"name": "ink", "strength": 0.5}]},
    seed=2**64 - 1,
    finish=Finish(PictureFormat.WEBP, 90, Metadata.ANONYMISE, ("9",), {"seed": 2**64 - 1}),
    batch_id=uuid.UUID(int=5),
    batch_index=4,
    cache_key=b"k" * 32,
    webhook=Webhook("https://example.com/hook", ("job.succeeded",), "whsec_x"),
)


def plain(**given: Any) -> Recipe:
    usual: dict[str, Any] = {"workflow": "upscale", "workflow_key": 1, "revision": 1, "version": "1"}
    return Recipe(**(usual | given))


async def recipe_of(yard: Yard, job_id: JobId, account_id: AccountId | None = None) -> Recipe | None:
    async with yard.database.autocommit() as tx:
        return await recipes.recipe_of(tx, account_id or yard.account_id, job_id)


async def counted(yard: Yard) -> dict[str, int]:
    return {table: await yard.value(f"SELECT count(*) FROM {table}") for table in TABLES}  # noqa: S608 - fixed names


async def test_a_recipe_is_read_as_it_was_written(yard: Yard) -> None:
    job = await yard.submit(recipe=WHOLE, price=3000)

    assert await recipe_of(yard, job.id) == WHOLE
    assert await yard.read(job.id) == job
    assert await yard.value("SELECT amount FROM holds") == 3000
    [(workflow, batch)] = await yard.rows("SELECT workflow, batch_id FROM jobs")
    assert (workflow, batch) == ("text-to-image", WHOLE.batch_id)


async def test_what_a_recipe_does_not_say_is_read_as_unsaid(yard: Yard) -> None:
    job = await yard.submit(recipe=plain())

    assert await recipe_of(yard, job.id) == plain()


async def test_a_job_that_takes_the_files_of_another_is_being_prepared(yard: Yard) -> None:
    leader = await yard.submit(recipe=plain())

    twin = await yard.submit(recipe=plain(leader_id=leader.id))

    assert twin.state is JobState.PREPARING
    assert await yard.read(twin.id) == twin
    assert [event.data for event in await yard.events(twin.id)] == [{"state": "preparing"}]


async def test_recipes_of_many_jobs_are_read_at_once_and_only_of_ones_own(yard: Yard) -> None:
    made, foreign = await yard.submit(recipe=WHOLE), await yard.submit(recipe=plain(), account_id=new_uuid())
    bare = await yard.submit()

    async with yard.database.autocommit() as tx:
        found = await recipes.recipes_of(tx, yard.account_id, [made.id, foreign.id, bare.id, JobId(new_uuid())])

    assert found == {made.id: WHOLE}
    assert await recipe_of(yard, made.id, AccountId(new_uuid())) is None


async def test_a_used_key_leaves_nothing_of_a_refused_recipe(yard: Yard) -> None:
    await yard.submit(recipe=plain(), idempotency=KEY)
    before = await counted(yard)

    with pytest.raises(IdempotencyKeyReused):
        await yard.submit(recipe=plain(), idempotency=KEY)

    assert await counted(yard) == before


async def test_a_job_is_a_workflows_or_a_native_clients_and_never_both(yard: Yard) -> None:
    with pytest.raises(ValueError, match="more than a recipe"):
        await yard.submit(recipe=plain(), prompt=Prompt())

    assert await yard.value("SELECT count(*) FROM jobs") == 0


async def test_a_thousand_jobs_are_accepted_in_order_in_one_transaction(yard: Yard) -> None:
    batch = uuid.UUID(int=9)
    jobs = [yard.job(recipe=plain(batch_id=batch, batch_index=place)) for place in range(1000)]

    async with yard.database.transaction() as tx:
        accepted = await service.submit_many(tx, jobs)

    assert [job.id for job in accepted] == [job.id for job in jobs]
    assert [job.position for job in accepted] == sorted(job.position for job in accepted)
    assert accepted[500] == await yard.read(jobs[500].id)
    rows = await yard.rows(
        "SELECT r.batch_index FROM jobs j JOIN job_recipes r ON r.job_id = j.id WHERE batch_id = %s"
        " ORDER BY j.position",
        batch,
    )
    assert [place for (place,) in rows] == list(range(1000))
    assert await yard.value("SELECT count(*) FROM job_events") == 1000


async def test_batches_of_the_same_new_graphs_in_opposite_order_never_block_each_other(yard: Yard) -> None:
    """Each would else hold the graph that the other one wants next."""
    texts = [f'{{"{number}": {{}}}}' for number in range(400)]
    graphs = [{"graph_text": text, "graph_digest": blake3(text.encode()).digest()} for text in texts]

    async def submit(several: Sequence[dict[str, Any]]) -> None:
        async with yard.database.transaction() as tx:
            await service.submit_many(tx, [yard.job(recipe=plain(), **graph) for graph in several])

    async with asyncio.TaskGroup() as group:
        for _ in range(2):
            group.create_task(submit(graphs))
            group.create_task(submit(graphs[::-1]))

    assert await yard.value("SELECT count(*) FROM jobs") == 1600
    assert await yard.value("SELECT count(*) FROM graphs") == 400


async def test_of_many_jobs_none_is_accepted_when_the_key_of_one_was_used(yard: Yard) -> None:
    await yard.submit(recipe=plain(), idempotency=KEY)
    jobs = [yard.job(recipe=plain()), yard.job(recipe=plain(), idempotency=KEY), yard.job(recipe=plain())]

    with pytest.raises(IdempotencyKeyReused):
        async with yard.database.transaction() as tx:
            await service.submit_many(tx, jobs)

    assert await yard.value("SELECT count(*) FROM jobs") == 1


async def test_no_jobs_are_accepted_as_no_jobs(yard: Yard) -> None:
    async with yard.database.transaction() as tx:
        assert await service.submit_many(tx, []) == []


async def test_many_jobs_at_once_are_held_to_the_same_bound(yard: Yard) -> None:
    bounds = QueueBounds(100, 10)

    async with yard.database.transaction() as tx:
        await bounds.check(tx, yard.account_id, 10)
        with pytest.raises(QueueFull):
            await bounds.check(tx, yard.account_id)
        with pytest.raises(QueueFull):
            await QueueBounds(100, 10).check(tx, yard.account_id, 11)


async def test_the_price_of_a_revision_is_that_of_its_manifest(yard: Yard) -> None:
    key = await yard.value("INSERT INTO workflows (id, origin) VALUES ('x', 'shipped') RETURNING key")
    await yard.run(
        "INSERT INTO workflow_versions (workflow_key, revision, version, manifest, graph, digest)"
        " VALUES (%s, 2, '1', '{\"price\": 3}', '{}', 'd')",
        key,
    )

    async with yard.database.autocommit() as tx:
        assert await recipes.price_of(tx, key, 2) == 3
        assert await recipes.price_of(tx, key, 1) == 0
