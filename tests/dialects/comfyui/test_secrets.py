"""A partner node's key goes to the server that runs the prompt, and shows nowhere."""

import httpx

from atelier.accounts.model import Role
from atelier.dialects.services import Services
from atelier.kit.database import Database
from support.prompts import job_id, prompt
from support.serving import make_tenant
from support.stage import Stage

SECRETS = {"auth_token_comfy_org": "PLANTED-token", "api_key_comfy_org": "PLANTED-key"}


async def answers(asker: httpx.AsyncClient, made: str) -> dict[str, str]:
    """Everything that tells of jobs, headers included."""
    paths = (
        "/queue",
        "/history",
        f"/history/{made}",
        "/api/jobs",
        f"/api/jobs/{made}",
        "/api/v1/jobs",
        "/api/v1/jobs?account=all",
        f"/api/v1/jobs/{made}",
        "/api/v1/queue",
        "/api/v2/jobs",
        f"/api/v2/jobs/{made}",
        f"/api/v2/jobs/{made}/workflow",
    )
    told = {path: await asker.get(path) for path in paths}
    return {path: f"{answer.headers}{answer.text}" for path, answer in told.items()}


async def test_secrets_show_in_no_answer_at_no_time(
    client: httpx.AsyncClient, base: str, database: Database, stage: Stage
) -> None:
    admin = await make_tenant(database, "admin", Role.ADMIN)
    made = str((await prompt(client, extra_data={**SECRETS, "mine": 1}))["prompt_id"])
    seen: list[str] = []

    async with httpx.AsyncClient(base_url=base, headers=admin.headers) as operator:

        async def look() -> None:
            for asker in (client, operator):
                seen.extend((await answers(asker, made)).values())

        await look()
        claim = await stage.start(job_id(made))
        await look()
        await stage.succeed(claim)
        await look()

    assert not [answer for answer in seen if "PLANTED" in answer]
    assert '"mine":1' in (await answers(client, made))["/history"]


async def test_the_server_is_given_them_and_the_end_forgets_them(
    client: httpx.AsyncClient, services: Services, stage: Stage
) -> None:
    made = job_id((await prompt(client, extra_data=dict(SECRETS)))["prompt_id"])

    claim = await stage.start(made)
    await stage.succeed(claim)

    assert claim.secrets == SECRETS
    async with services.database.autocommit() as tx:
        rows = await (await tx.execute("SELECT jobs::text FROM jobs WHERE id = %s", (made,))).fetchall()
        rows += await (await tx.execute("SELECT p::text FROM native_prompts p")).fetchall()
    assert "PLANTED" not in str(rows)


async def test_a_refusal_repeats_no_secret(client: httpx.AsyncClient) -> None:
    for extra_data in (SECRETS, {"api_key_comfy_org": ["PLANTED"]}):
        answer = await client.post("/prompt", json={"prompt": {}, "extra_data": extra_data})

        assert answer.status_code == 400
        assert "PLANTED" not in answer.text
