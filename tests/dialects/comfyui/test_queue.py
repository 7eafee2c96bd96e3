import httpx

from atelier.accounts.model import Role
from atelier.kit.database import Database
from support.graphs import picture
from support.prompts import job_id, prompt, queue, v2_job
from support.serving import Tenant, make_tenant
from support.stage import Stage


async def test_an_empty_queue_is_two_empty_lists(client: httpx.AsyncClient) -> None:
    for path in ("/queue", "/api/queue"):
        assert (await client.get(path)).json() == {"queue_running": [], "queue_pending": []}


async def test_the_queue_shows_what_waits_and_what_runs_as_its_clients_wrote_it(
    client: httpx.AsyncClient, stage: Stage
) -> None:
    first = await prompt(client, client_id="me", extra_data={"mine": 1})
    await stage.start(job_id(first["prompt_id"]))
    second = await prompt(client)

    shown = (await client.get("/queue")).json()

    [[number, prompt_id, graph, extra_data, targets]] = shown["queue_running"]
    assert (number, prompt_id, graph, targets) == (first["number"], first["prompt_id"], picture(), ["2"])
    assert extra_data.pop("create_time") > 1_700_000_000_000
    assert extra_data == {"mine": 1, "client_id": "me"}
    assert [item[1] for item in shown["queue_pending"]] == [second["prompt_id"]]


async def test_what_waits_stands_in_the_order_in_which_it_runs(client: httpx.AsyncClient) -> None:
    usual = await prompt(client)
    behind = await prompt(client)
    last = await prompt(client, number=10**9)
    front = await prompt(client, front=True)
    before = await prompt(client, front=True)
    first = await prompt(client, number=-(10**9))
    between = await prompt(client, number=0.5)

    _, pending = await queue(client)

    assert pending == [one["prompt_id"] for one in (first, before, front, between, usual, behind, last)]


async def test_what_a_server_holds_and_has_not_begun_still_waits(client: httpx.AsyncClient, stage: Stage) -> None:
    held = await prompt(client)
    await stage.claim(job_id(held["prompt_id"]))

    assert await queue(client) == ([], [held["prompt_id"]])


async def test_jobs_of_other_dialects_stand_in_the_same_queue(client: httpx.AsyncClient, stage: Stage) -> None:
    running, waiting = await v2_job(client), await v2_job(client)
    await stage.start(job_id(running))

    shown = (await client.get("/queue")).json()

    assert [item[1] for item in shown["queue_running"]] == [running]
    [[_, prompt_id, graph, _, targets]] = shown["queue_pending"]
    assert (prompt_id, graph, targets) == (waiting, picture(), ["2"])


async def test_nobody_sees_anothers_queue(client: httpx.AsyncClient, other: httpx.AsyncClient) -> None:
    await prompt(client)

    assert await queue(other) == ([], [])
    assert (await other.get("/prompt")).json() == {"exec_info": {"queue_remaining": 0}}


async def test_what_is_deleted_leaves_the_queue_and_no_history(client: httpx.AsyncClient) -> None:
    gone, stays = await prompt(client), await prompt(client)

    answer = await client.post("/queue", json={"delete": [gone["prompt_id"], "zzz", 5]})

    assert (answer.status_code, answer.content) == (200, b"")
    assert await queue(client) == ([], [stays["prompt_id"]])
    assert (await client.get(f"/history/{gone['prompt_id']}")).json() == {}
    assert (await client.get("/history")).json() == {}
    assert (await client.get(f"/api/jobs/{gone['prompt_id']}")).status_code == 404


async def test_clearing_leaves_what_runs(client: httpx.AsyncClient, stage: Stage) -> None:
    running = await prompt(client)
    await stage.start(job_id(running["prompt_id"]))
    await prompt(client)
    waiting = await v2_job(client)

    await client.post("/api/queue", json={"clear": True})

    assert await queue(client) == ([running["prompt_id"]], [])
    assert (await client.get(f"/api/v2/jobs/{waiting}")).json()["status"] == "canceled"


async def test_clear_false_clears_nothing(client: httpx.AsyncClient) -> None:
    waiting = await prompt(client)

    assert (await client.post("/queue", json={"clear": False})).status_code == 200
    assert (await client.post("/queue", json={})).status_code == 200

    assert await queue(client) == ([], [waiting["prompt_id"]])


async def test_nobody_takes_anothers_prompt_out(client: httpx.AsyncClient, other: httpx.AsyncClient) -> None:
    waiting = await prompt(client)

    assert (await other.post("/queue", json={"delete": [waiting["prompt_id"]]})).status_code == 200
    assert (await other.post("/queue", json={"clear": True})).status_code == 200

    assert await queue(client) == ([], [waiting["prompt_id"]])


async def test_a_member_cannot_mean_everybody(client: httpx.AsyncClient) -> None:
    waiting = await prompt(client)

    refused = await client.post("/queue?account=all", json={"clear": True})

    assert refused.status_code == 403
    assert refused.json()["error"]["type"] == "forbidden"
    assert await queue(client) == ([], [waiting["prompt_id"]])


async def test_an_admin_means_its_own_prompts_unless_it_says_all(
    client: httpx.AsyncClient, base: str, database: Database
) -> None:
    one, two = await prompt(client), await prompt(client)
    admin: Tenant = await make_tenant(database, "admin", Role.ADMIN)

    async with httpx.AsyncClient(base_url=base, headers=admin.headers) as operator:
        await operator.post("/queue", json={"clear": True})
        await operator.post("/queue", json={"delete": [one["prompt_id"]]})
        untouched = await queue(client)
        await operator.post("/queue?account=all", json={"delete": [one["prompt_id"]]})
        without_one = await queue(client)
        await operator.post("/queue?account=all", json={"clear": True})

    assert untouched == ([], [one["prompt_id"], two["prompt_id"]])
    assert without_one == ([], [two["prompt_id"]])
    assert await queue(client) == ([], [])


async def test_a_body_that_cannot_be_read_is_told_so(client: httpx.AsyncClient) -> None:
    for body in (b"{bad", b"", b"[]", b'{"delete": "x"}'):
        refused = await client.post("/queue", content=body)

        assert refused.status_code == 400
        assert set(refused.json()) == {"error", "node_errors"}
        assert refused.json()["error"]["message"]


async def test_the_count_is_of_what_waits_and_runs(client: httpx.AsyncClient, stage: Stage) -> None:
    running = await prompt(client)
    await stage.start(job_id(running["prompt_id"]))
    await prompt(client)
    await v2_job(client)

    for path in ("/prompt", "/api/prompt"):
        assert (await client.get(path)).json() == {"exec_info": {"queue_remaining": 3}}
