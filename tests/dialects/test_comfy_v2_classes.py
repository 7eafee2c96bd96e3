"""Classes and end users over HTTP: asked for by headers, answered by headers, as far as the key reaches."""

import httpx
import pytest

from atelier.dialects.services import Services
from support.graphs import picture
from support.serving import Tenant, make_tenant


@pytest.fixture
async def service_key(services: Services) -> Tenant:
    """A key that reaches class 8 and may ask for end users."""
    return await make_tenant(services.database, "service", max_priority=8, on_behalf=True)


async def submit(base: str, tenant: Tenant, **headers: str) -> httpx.Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    async with httpx.AsyncClient(base_url=base) as client:
        return await client.post("/api/v2/jobs", json={"workflow": picture()}, headers=tenant.headers | named)


async def rows(services: Services) -> list[tuple[int, int | None, str]]:
    async with services.database.autocommit() as tx:
        found = await tx.execute("SELECT priority, wished_priority, end_user FROM jobs ORDER BY position")
        return [(row[0], row[1], row[2]) for row in await found.fetchall()]


async def test_a_job_says_its_class(base: str, services: Services, tenant: Tenant) -> None:
    answers = [await submit(base, tenant), await submit(base, tenant, X_Atelier_Priority="2")]

    assert [answer.status_code for answer in answers] == [201, 201]
    assert [answer.headers["X-Atelier-Priority"] for answer in answers] == ["5", "2"]
    assert not any("X-Atelier-Notice" in answer.headers for answer in answers)
    assert await rows(services) == [(5, None, ""), (2, None, "")]


async def test_a_class_above_the_keys_highest_is_lowered_and_the_answer_says_so(
    base: str, services: Services, tenant: Tenant, service_key: Tenant
) -> None:
    answers = [await submit(base, each, X_Atelier_Priority="9") for each in (tenant, service_key)]

    assert [answer.headers["X-Atelier-Priority"] for answer in answers] == ["5", "8"]
    assert [answer.headers["X-Atelier-Notice"] for answer in answers] == [
        "priority 9 was lowered to 5, the highest class of this key",
        "priority 9 was lowered to 8, the highest class of this key",
    ]
    assert await rows(services) == [(5, 9, ""), (8, 9, "")]


@pytest.mark.parametrize("priority", ["0", "11", "high", "5.0", "", "-1", "010"])
async def test_what_is_no_class_is_refused(base: str, services: Services, tenant: Tenant, priority: str) -> None:
    answer = await submit(base, tenant, X_Atelier_Priority=priority)

    assert answer.status_code == 400
    assert answer.json()["error"]["code"] == "invalid_request"
    assert "from 1 to 10" in answer.json()["error"]["message"]
    assert await rows(services) == []


async def test_a_service_asks_on_behalf_of_its_end_users(
    base: str, services: Services, service_key: Tenant
) -> None:
    answer = await submit(base, service_key, X_On_Behalf_Of="ann@example.com")

    assert answer.status_code == 201
    assert await rows(services) == [(5, None, "ann@example.com")]


async def test_another_key_may_not_invent_end_users(base: str, services: Services, tenant: Tenant) -> None:
    answer = await submit(base, tenant, X_On_Behalf_Of="ann")

    assert answer.status_code == 403
    assert answer.json()["error"]["code"] == "forbidden"
    assert await rows(services) == []


@pytest.mark.parametrize("end_user", ["", "x" * 129, "ann\tbob"])
async def test_what_is_no_end_user_is_refused(
    base: str, services: Services, service_key: Tenant, end_user: str
) -> None:
    answer = await submit(base, service_key, X_On_Behalf_Of=end_user)

    assert answer.status_code == 400
    assert "X-On-Behalf-Of" in answer.json()["error"]["message"]
    assert await rows(services) == []


async def test_the_document_has_both_headers(base: str) -> None:
    async with httpx.AsyncClient(base_url=base) as client:
        document = (await client.get("/openapi.json")).json()

    operation = document["paths"]["/api/v2/jobs"]["post"]
    assert {"X-Atelier-Priority", "X-On-Behalf-Of"} <= {each["name"] for each in operation["parameters"]}
    assert {"X-Atelier-Priority", "X-Atelier-Notice"} <= operation["responses"]["201"]["headers"].keys()
    assert "403" in operation["responses"]
