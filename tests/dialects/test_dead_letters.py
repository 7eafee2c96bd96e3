"""Dead letters over HTTP: shown with their evidence, settled once, foreign ones not found."""

import asyncio
import uuid
from collections.abc import AsyncGenerator
from typing import Any

import httpx
import pytest

from atelier.accounts.model import Role
from atelier.kit.database import Database
from atelier.kit.ids import JobId
from support.graphs import picture, with_asset
from support.serving import make_tenant
from support.stage import Stage

PATH = "/api/v1/dead-letters"
VERBS = ("replay", "discard")


@pytest.fixture
async def admin(base: str, database: Database) -> AsyncGenerator[httpx.AsyncClient]:
    tenant = await make_tenant(database, "operator", Role.ADMIN)
    async with httpx.AsyncClient(base_url=base, headers=tenant.headers) as made:
        yield made


async def poisoned(client: httpx.AsyncClient, stage: Stage, graph: object = None) -> str:
    """A job during which two servers died."""
    answer = await client.post("/api/v2/jobs", json={"workflow": graph or picture()})
    job_id = JobId(uuid.UUID(answer.json()["id"]))
    for number in (1, 2):
        await stage.lose(await stage.start(job_id, number))
    return str(job_id)


async def listed(client: httpx.AsyncClient, **query: object) -> list[str]:
    answer = await client.get(PATH, params={name: str(value) for name, value in query.items()})
    assert answer.status_code == 200, answer.text
    return [letter["job_id"] for letter in answer.json()["dead_letters"]]


async def test_a_job_that_was_given_up_is_listed_with_its_evidence(
    client: httpx.AsyncClient, stage: Stage
) -> None:
    job = await poisoned(client, stage)

    [letter] = (await client.get(PATH)).json()["dead_letters"]
    whole = (await client.get(f"{PATH}/{job}")).json()

    assert (letter["job_id"], letter["code"], letter["account"]) == (job, "poison", "tenant")
    assert (letter["server_deaths"], letter["servers"]) == (2, ["stage", "stage"])
    assert "2 servers died" in letter["message"]
    assert [attempt["evidence"]["cause"] for attempt in whole["attempts"]] == ["server_lost"] * 2
    assert (await client.get(f"/api/v1/jobs/{job}")).json()["dead_letter"] is True


async def test_letters_are_the_accounts_own_and_an_admin_sees_all(
    client: httpx.AsyncClient, other: httpx.AsyncClient, admin: httpx.AsyncClient, stage: Stage
) -> None:
    job = await poisoned(client, stage)

    answers = [
        await other.get(f"{PATH}/{job}"),
        await other.post(f"{PATH}/{job}/replay"),
        await other.delete(f"{PATH}/{job}"),
        await client.get(f"{PATH}/x"),
    ]
    many = await other.post(f"{PATH}/discard", json={"ids": [job]})

    assert {answer.status_code for answer in answers} == {404}
    assert many.json() == {"discarded": 0}
    assert (await listed(other), await listed(client), await listed(admin)) == ([], [job], [job])


async def test_letters_come_newest_first_in_pages_and_by_code(client: httpx.AsyncClient, stage: Stage) -> None:
    jobs = [await poisoned(client, stage) for _ in range(3)]

    first = (await client.get(PATH, params={"limit": 2})).json()
    second = (await client.get(PATH, params={"cursor": first["next_cursor"]})).json()

    assert [letter["job_id"] for page in (first, second) for letter in page["dead_letters"]] == jobs[::-1]
    assert (first["total"], second["next_cursor"]) == (3, None)
    assert len(await listed(client, code="poison")) == 3
    assert await listed(client, code="storage") == []
    assert {(await client.get(PATH, params=bad)).status_code for bad in ({"cursor": "x"}, {"code": "A B"})} == {
        400
    }


async def test_a_replay_is_a_new_job_and_settles_the_letter(client: httpx.AsyncClient, stage: Stage) -> None:
    job = await poisoned(client, stage)

    replayed = (await client.post(f"{PATH}/{job}/replay")).json()
    again = (await client.post(f"{PATH}/{job}/replay")).json()

    new = (await client.get(f"/api/v1/jobs/{replayed['replayed_as']}")).json()
    assert (new["state"], new["retry_of"]) == ("queued", job)
    assert (replayed["fresh"], again) == (True, replayed | {"fresh": False})
    assert await listed(client) == []
    assert (await client.get(f"/api/v1/jobs/{job}")).json()["replayed_as"] == new["id"]


async def test_who_asks_at_the_same_time_gets_one_job(client: httpx.AsyncClient, stage: Stage) -> None:
    job = await poisoned(client, stage)

    answers = await asyncio.gather(*(client.post(f"{PATH}/{job}/replay") for _ in range(6)))

    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.json()["replayed_as"] for answer in answers}) == 1
    assert [answer.json()["fresh"] for answer in answers].count(True) == 1
    assert len((await client.get("/api/v1/jobs", params={"state": "queued"})).json()["jobs"]) == 1


async def test_a_retry_of_its_job_settles_a_letter_too(client: httpx.AsyncClient, stage: Stage) -> None:
    job = await poisoned(client, stage)

    retried = (await client.post(f"/api/v1/jobs/{job}/retry")).json()
    replayed = (await client.post(f"{PATH}/{job}/replay")).json()
    second = (await client.post(f"/api/v1/jobs/{job}/retry")).json()

    assert (replayed["replayed_as"], replayed["fresh"]) == (retried["id"], False)
    assert second["id"] != retried["id"]


async def test_a_discarded_letter_is_gone_and_not_replayed(client: httpx.AsyncClient, stage: Stage) -> None:
    job, other = await poisoned(client, stage), await poisoned(client, stage)
    await client.post(f"{PATH}/{other}/replay")

    gone = [(await client.delete(f"{PATH}/{job}")).status_code for _ in range(2)]
    replayed = await client.post(f"{PATH}/{job}/replay")
    settled = await client.delete(f"{PATH}/{other}")

    assert gone == [204, 204]
    assert (replayed.status_code, replayed.json()["error"]["code"]) == (409, "dead_letter_settled")
    assert (settled.status_code, settled.json()["error"]["code"]) == (409, "dead_letter_settled")
    assert await listed(client) == []


async def test_many_are_replayed_each_by_itself(client: httpx.AsyncClient, stage: Stage) -> None:
    asset = (await client.post("/api/v2/assets", files={"file": ("a.png", b"x")})).json()["id"]
    good, bad = await poisoned(client, stage), await poisoned(client, stage, with_asset(asset))
    await client.delete(f"/api/v2/assets/{asset}")

    answer = (await client.post(f"{PATH}/replay", json={"all": True, "code": "poison"})).json()

    assert [one["job_id"] for one in answer["replayed"]] == [good]
    assert [(one["job_id"], one["code"]) for one in answer["refused"]] == [(bad, "missing_asset")]
    assert answer["left"] == 1


async def test_many_are_discarded_by_name_or_code(client: httpx.AsyncClient, stage: Stage) -> None:
    jobs = [await poisoned(client, stage) for _ in range(3)]

    named = await client.post(f"{PATH}/discard", json={"ids": jobs[:1]})
    none = await client.post(f"{PATH}/discard", json={"all": True, "code": "storage"})
    rest = await client.post(f"{PATH}/discard", json={"all": True})

    assert [answer.json()["discarded"] for answer in (named, none, rest)] == [1, 0, 2]


async def test_which_ones_must_be_said_in_one_way(client: httpx.AsyncClient) -> None:
    bad: tuple[dict[str, Any], ...] = (
        {},
        {"ids": []},
        {"all": True, "ids": [str(uuid.uuid4())]},
        {"ids": ["x"]},
        {"all": "yes"},
        {"code": "a"},
    )

    statuses = [(await client.post(f"{PATH}/{verb}", json=body)).status_code for body in bad for verb in VERBS]

    assert set(statuses) == {400}
