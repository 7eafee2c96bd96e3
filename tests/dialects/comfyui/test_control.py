import asyncio

import httpx

from atelier.accounts.model import Role
from atelier.jobs.model import Claim
from atelier.kit.database import Database
from support.prompts import job_id, prompt, v2_job
from support.serving import make_tenant
from support.stage import Stage


async def status(client: httpx.AsyncClient, prompt_id: str) -> str:
    return str((await client.get(f"/api/v2/jobs/{prompt_id}")).json()["status"])


async def running(client: httpx.AsyncClient, stage: Stage) -> str:
    accepted = await prompt(client)
    await stage.start(job_id(accepted["prompt_id"]))
    return str(accepted["prompt_id"])


async def test_an_interrupt_without_an_id_stops_all_of_the_account_that_runs(
    client: httpx.AsyncClient, stage: Stage
) -> None:
    waiting, stopped = (await prompt(client))["prompt_id"], [await v2_job(client)]
    await stage.start(job_id(stopped[0]))

    for body in (b"", b"{}", b"{bad", b'{"prompt_id": null}', b'{"prompt_id": ""}'):
        stopped.append(await running(client, stage))
        answer = await client.post("/interrupt", content=body)

        assert (answer.status_code, answer.content) == (200, b"")
        assert {await status(client, one) for one in stopped} == {"canceling"}
    assert await status(client, waiting) == "queued"


async def test_an_interrupt_with_an_id_stops_that_prompt_if_it_runs(
    client: httpx.AsyncClient, stage: Stage
) -> None:
    first, second = await running(client, stage), await running(client, stage)
    waiting = (await prompt(client))["prompt_id"]

    for named in (first, waiting, "nope", "5"):
        answer = await client.post("/api/interrupt", json={"prompt_id": named})
        assert answer.status_code == 200

    assert [await status(client, one) for one in (first, second, waiting)] == ["canceling", "running", "queued"]


async def test_an_interrupt_reaches_what_was_held_when_it_came_and_nothing_later(
    client: httpx.AsyncClient, stage: Stage
) -> None:
    """Several come while the first is still obeyed; none of them may stop the next prompt."""
    held = str((await prompt(client))["prompt_id"])
    claim = await stage.claim(job_id(held))
    async with asyncio.TaskGroup() as group:
        asked = group.create_task(client.post("/interrupt"))
        await asyncio.sleep(0.1)
        await stage.succeed(claim)
        later = await running(client, stage)

    assert asked.result().status_code == 200
    assert await status(client, later) == "running"


async def test_an_interrupt_waits_for_a_start_that_is_being_written(
    client: httpx.AsyncClient, stage: Stage
) -> None:
    held = str((await prompt(client))["prompt_id"])
    claim = await stage.claim(job_id(held))
    async with asyncio.TaskGroup() as group:
        asked = group.create_task(client.post("/interrupt"))
        await asyncio.sleep(0.1)
        await stage.begin(claim)

    assert asked.result().status_code == 200
    assert await status(client, held) == "canceling"


async def one_held_behind_another(client: httpx.AsyncClient, stage: Stage) -> tuple[Claim, str, Claim]:
    """The running one's claim; the held one's prompt and claim."""
    first = await stage.start(job_id((await prompt(client))["prompt_id"]))
    held = str((await prompt(client))["prompt_id"])
    return first, held, await stage.claim(job_id(held))


async def stopping(client: httpx.AsyncClient, claim: Claim) -> None:
    async with asyncio.timeout(60):
        while True:
            if await status(client, str(claim.job_id)) == "canceling":
                return
            await asyncio.sleep(0.01)


async def test_an_interrupt_of_a_run_that_was_over_stops_the_one_that_had_begun_behind_it(
    client: httpx.AsyncClient, stage: Stage
) -> None:
    """While files are fetched their run counts as running, and the server is at the next one already."""
    over, held, claim = await one_held_behind_another(client, stage)
    async with asyncio.TaskGroup() as group:
        asked = group.create_task(client.post("/interrupt"))
        await stopping(client, over)
        await stage.let_go(over)
        await stage.begin(claim)

    assert asked.result().status_code == 200
    assert await status(client, held) == "canceling"


async def test_an_interrupt_of_a_run_that_a_server_broke_off_leaves_the_one_behind_it(
    client: httpx.AsyncClient, stage: Stage
) -> None:
    stopped, held, claim = await one_held_behind_another(client, stage)
    async with asyncio.TaskGroup() as group:
        asked = group.create_task(client.post("/interrupt"))
        await stopping(client, stopped)
        await stage.break_off(stopped)
        await stage.begin(claim)

    assert asked.result().status_code == 200
    assert await status(client, held) == "running"


async def test_nobody_interrupts_another(
    client: httpx.AsyncClient, other: httpx.AsyncClient, stage: Stage
) -> None:
    mine = await running(client, stage)

    await other.post("/interrupt")
    await other.post("/interrupt", json={"prompt_id": mine})
    refused = await other.post("/interrupt?account=all")

    assert refused.status_code == 403
    assert await status(client, mine) == "running"


async def test_an_admin_interrupts_anybody_when_it_says_so(
    client: httpx.AsyncClient, base: str, database: Database, stage: Stage
) -> None:
    first, second = await running(client, stage), await running(client, stage)
    admin = await make_tenant(database, "admin", Role.ADMIN)

    async with httpx.AsyncClient(base_url=base, headers=admin.headers) as operator:
        await operator.post("/interrupt")
        untouched = await status(client, first)
        await operator.post("/interrupt?account=all", json={"prompt_id": first})
        one = [await status(client, first), await status(client, second)]
        await operator.post("/interrupt?account=all")

    assert untouched == "running"
    assert one == ["canceling", "running"]
    assert await status(client, second) == "canceling"


async def test_other_json_than_an_object_is_refused_in_words(client: httpx.AsyncClient) -> None:
    refused = await client.post("/interrupt", content=b"[]")

    assert refused.status_code == 400
    assert refused.json()["node_errors"] == {}


async def test_an_interrupted_prompt_ends_as_one(client: httpx.AsyncClient, stage: Stage) -> None:
    accepted = await prompt(client)
    claim = await stage.start(job_id(accepted["prompt_id"]))

    await client.post("/interrupt")
    await stage.let_go(claim)

    entry = (await client.get(f"/history/{accepted['prompt_id']}")).json()[accepted["prompt_id"]]
    assert (entry["status"]["status_str"], entry["status"]["completed"]) == ("error", False)
    assert entry["status"]["messages"][-1][0] == "execution_interrupted"


async def freed(database: Database) -> list[tuple[bool, bool]]:
    """What each server is asked to give back."""
    async with database.autocommit() as tx:
        rows = await tx.execute("SELECT free_models, free_memory FROM servers WHERE free_asked_at IS NOT NULL")
        return [(bool(models), bool(memory)) for models, memory in await rows.fetchall()]


async def test_memory_is_an_admins_to_free(
    client: httpx.AsyncClient, base: str, database: Database, stage: Stage
) -> None:
    await running(client, stage)
    admin = await make_tenant(database, "admin", Role.ADMIN)

    async with httpx.AsyncClient(base_url=base, headers=admin.headers) as operator:
        answers = [
            await client.post("/free", json={"unload_models": True, "free_memory": True}),
            await operator.post("/free", json={}),
            await operator.post("/free"),
        ]
        before = await freed(database)
        answers.append(await operator.post("/api/free", json={"unload_models": True}))

    assert [(answer.status_code, answer.content) for answer in answers] == [(200, b"")] * 4
    assert before == []
    assert await freed(database) == [(True, False)]


async def test_control_is_not_asked_by_get(client: httpx.AsyncClient) -> None:
    for path in ("/interrupt", "/free"):
        assert (await client.get(path)).status_code in {404, 405}
