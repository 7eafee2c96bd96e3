"""What callers are told of workflows: everybody's and their own, in their language, and who can run them."""

import copy
from collections.abc import AsyncGenerator
from typing import Any

import httpx
import pytest
from openapi_spec_validator import validate

from atelier.accounts.model import Role
from atelier.dialects.services import Services
from atelier.fleet import service as fleet
from atelier.fleet.inventory import from_object_info
from atelier.fleet.model import Health
from atelier.fleet.store import catalogs, measures, roster
from atelier.kit.database import Database
from atelier.kit.ids import ServerId
from atelier.workflows import service
from atelier.workflows.model import Fault, Origin
from atelier.workflows.store.revisions import NewRevision
from support import workshop
from support.serving import Tenant, make_tenant

PATH = "/api/v1/workflows"
WEBP = b"RIFF\x00\x00\x00\x00WEBPpicture"

NODES: dict[str, Any] = {
    "CheckpointLoaderSimple": {"input": {"required": {"ckpt_name": [["sd15.safetensors"], {}]}}},
    **{
        name: {"input": {}}
        for name in ("CLIPTextEncode", "EmptyLatentImage", "KSampler", "VAEDecode", "SaveImage", "LoadImage")
    },
}


@pytest.fixture
async def admin(base: str, database: Database) -> AsyncGenerator[httpx.AsyncClient]:
    tenant = await make_tenant(database, "operator", Role.ADMIN)
    async with httpx.AsyncClient(base_url=base, headers=tenant.headers) as made:
        yield made


async def _put(services: Services, new: NewRevision) -> None:
    async with services.database.transaction() as tx:
        await service.put(tx, new, Origin.SHIPPED)
    await services.registry.refresh()


async def _import(services: Services, tenant: Tenant, new: NewRevision) -> None:
    async with services.database.transaction() as tx:
        await service.save_draft(tx, tenant.account_id, new)
        await service.publish(tx, tenant.account_id, new.manifest.id)
    await services.registry.refresh()


async def _server(services: Services, name: str, nodes: dict[str, Any], vram: int = 0) -> None:
    async with services.database.transaction() as tx:
        server_id = await fleet.add(tx, f"http://{name}:1", server_id=name)
        await catalogs.save_inventory(tx, server_id, from_object_info(nodes), {"devices": [{"vram_total": vram}]})
        await roster.save_health(tx, server_id, Health.READY, "")
    await services.intake.fleet.refresh()


async def test_the_list_has_the_names_that_older_clients_read(
    services: Services, client: httpx.AsyncClient
) -> None:
    await _put(services, workshop.revision(max_batch_size=4, tags=["sea"]))

    [shown] = (await client.get(PATH)).json()["workflows"]

    assert {
        name: shown[name] for name in ("id", "name", "description", "category", "model_family", "version")
    } == {
        "id": "boats",
        "name": "Boats",
        "description": "Draws boats.",
        "category": "text-to-image",
        "model_family": "sd15",
        "version": "1.0.0",
    }
    assert (shown["supports_batch"], shown["max_batch_size"]) == (True, 4)
    assert (shown["requires_input_image"], shown["requires_mask"]) == (False, False)
    steps = shown["configurable_params"]["steps"]
    assert {name: steps[name] for name in ("type", "min", "max", "default", "description")} == {
        "type": "int",
        "min": 1,
        "max": 50,
        "default": 20,
        "description": "",
    }
    assert shown["example_payload"] == {"workflow_id": "boats", "prompt": "a red boat", "params": {}}
    assert (shown["price"], shown["shared"], shown["revision"], shown["runnable"]) == (3, True, 1, None)


async def test_files_that_are_needed_are_told(services: Services, client: httpx.AsyncClient) -> None:
    graph = copy.deepcopy(workshop.GRAPH)
    graph["8"] = workshop.node("LoadImage", "Photo", image="x.png")
    graph["9"] = workshop.node("LoadImageMask", "Mask", image="x.png", channel="red")
    inputs = {
        "input_image": {"type": "image", "required": True, "bind": {"node": "Photo", "input": "image"}},
        "mask": {"type": "mask", "required": True, "bind": {"node": "Mask", "input": "image"}},
    }
    await _put(services, workshop.revision(graph=graph, inputs=inputs))

    [shown] = (await client.get(PATH)).json()["workflows"]

    assert (shown["requires_input_image"], shown["requires_mask"]) == (True, True)
    assert [one["name"] for one in shown["inputs"]] == ["input_image", "mask"]
    assert shown["example_payload"]["input_image"].startswith("https://")


async def test_nobody_sees_what_another_imported(
    services: Services,
    tenant: Tenant,
    client: httpx.AsyncClient,
    other: httpx.AsyncClient,
    admin: httpx.AsyncClient,
) -> None:
    new = NewRevision(workshop.manifest("mine"), workshop.GRAPH, WEBP)
    await _import(services, tenant, new)

    for path in (f"{PATH}/mine", f"{PATH}/mine?version=1", f"{PATH}/mine/versions", f"{PATH}/mine/cover"):
        assert (await client.get(path)).status_code == 200
        for stranger in (other, admin):
            refused = await stranger.get(path)
            assert refused.status_code == 404
            assert refused.json()["error"]["code"] == "workflow_not_found"
            assert "mine" not in str(refused.json()["error"]["details"]["nearest"])
    assert (await other.get(PATH)).json()["workflows"] == []


async def test_workflows_are_filtered(services: Services, client: httpx.AsyncClient) -> None:
    await _put(services, workshop.revision("boats", tags=["sea"]))
    await _put(services, workshop.revision("cars", category="upscale", family="sdxl"))

    async def ids(**filters: str) -> list[str]:
        return [one["id"] for one in (await client.get(PATH, params=filters)).json()["workflows"]]

    assert await ids() == ["boats", "cars"]
    assert await ids(category="upscale") == ["cars"]
    assert await ids(family="sd15") == ["boats"]
    assert await ids(tag="sea") == ["boats"]
    assert await ids(runnable="true") == []
    assert await ids(runnable="false") == ["boats", "cars"]


@pytest.mark.parametrize(
    "query", ["runnable=maybe", "lang=de", "category=", "category=upscal", "tag=" + "x" * 101, "version=%00"]
)
async def test_an_odd_question_is_refused(services: Services, client: httpx.AsyncClient, query: str) -> None:
    await _put(services, workshop.revision())

    refused = [await client.get(f"{PATH}?{query}"), await client.get(f"{PATH}/boats?{query}")]

    assert 400 in [one.status_code for one in refused]
    assert {one.status_code for one in refused} <= {200, 400}


async def test_names_are_in_the_callers_language(services: Services, client: httpx.AsyncClient) -> None:
    await _put(services, workshop.revision())

    async def name(headers: dict[str, str] | None = None, **params: str) -> str:
        return str((await client.get(f"{PATH}/boats", headers=headers, params=params)).json()["name"])

    assert await name() == "Boats"
    assert await name(lang="pt") == "Barcos"
    assert await name({"Accept-Language": "pt-BR,pt;q=0.9,en;q=0.8"}) == "Barcos"
    assert await name({"Accept-Language": "de, en;q=0.5, pt;q=0.1"}) == "Boats"
    assert await name({"Accept-Language": "pt"}, lang="en") == "Boats"


async def test_the_detail_has_a_schema_of_the_parameters(services: Services, client: httpx.AsyncClient) -> None:
    await _put(services, workshop.revision())

    shown = (await client.get(f"{PATH}/boats")).json()

    schema = shown["parameters_schema"]
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert schema["required"] == ["prompt"]
    steps = schema["properties"]["steps"]
    assert {name: steps[name] for name in ("type", "minimum", "maximum", "default", "x-step")} == {
        "type": "integer",
        "minimum": 1,
        "maximum": 50,
        "default": 20,
        "x-step": 1,
    }
    assert shown["names"] == {"en": "Boats", "pt": "Barcos"}
    assert shown["examples"] == [{"title": "A boat", "params": {"prompt": "a red boat"}}]


async def test_it_is_told_what_servers_lack(
    services: Services, client: httpx.AsyncClient, admin: httpx.AsyncClient
) -> None:
    packs = [{"name": "savers", "url": "https://example.com/savers", "nodes": ["SaveImage"]}]
    await _put(services, workshop.revision(packs=packs))
    poor = {name: body for name, body in NODES.items() if name != "SaveImage"}
    poor["CheckpointLoaderSimple"] = {"input": {"required": {"ckpt_name": [["other.safetensors"], {}]}}}
    await _server(services, "poor", poor)
    before = (await client.get(f"{PATH}/boats")).json()

    await _server(services, "rich", NODES)

    after = (await client.get(f"{PATH}/boats")).json()
    told = (await admin.get(f"{PATH}/boats")).json()
    assert (before["runnable"], before["able"], before["servers_known"]) == (False, 0, 1)
    assert before["missing"] == {
        "node_classes": ["SaveImage"],
        "models": [{"node_class": "CheckpointLoaderSimple", "input": "ckpt_name", "name": "sd15.safetensors"}],
        "packs": ["savers"],
        "vram": None,
    }
    assert (after["runnable"], after["able"], after["ready"], after["missing"]) == (True, 1, 1, None)
    assert before["servers"] is after["servers"] is None
    assert {one["id"]: one["able"] for one in told["servers"]} == {"poor": False, "rich": True}


async def test_a_card_that_is_too_small_is_told(services: Services, client: httpx.AsyncClient) -> None:
    await _put(services, workshop.revision(min_vram=24))
    await _server(services, "small", NODES, vram=8 * 2**30)
    small = (await client.get(f"{PATH}/boats")).json()

    await _server(services, "nearly", NODES, vram=int(23.6 * 2**30))

    assert (small["runnable"], small["missing"]["vram"]) == (False, 8.0)
    assert (await client.get(f"{PATH}/boats")).json()["runnable"] is True


async def test_a_quarantined_server_makes_nothing_runnable(services: Services, client: httpx.AsyncClient) -> None:
    await _put(services, workshop.revision())
    await _server(services, "gpu", NODES)
    async with services.database.transaction() as tx:
        await roster.save_health(tx, ServerId("gpu"), Health.OFFLINE, "away")
    await services.intake.fleet.refresh()

    shown = (await client.get(f"{PATH}/boats")).json()

    assert (shown["runnable"], shown["able"], shown["ready"]) == (False, 1, 0)


async def test_the_usual_time_is_that_of_runs_with_default_values(
    services: Services, client: httpx.AsyncClient
) -> None:
    await _put(services, workshop.revision())
    [workflow] = services.registry.listing(None)
    before = (await client.get(f"{PATH}/boats")).json()["average_seconds"]
    async with services.database.transaction() as tx:
        await measures.save_run_times(tx, {(services.readiness.shape(workflow), ServerId("gpu")): 12.5})

    after = (await client.get(PATH)).json()["workflows"][0]["average_seconds"]

    assert (before, after) == (None, 12.5)


async def test_versions_are_told_and_each_can_be_read(
    services: Services, tenant: Tenant, client: httpx.AsyncClient
) -> None:
    await _import(services, tenant, workshop.revision(version="1.0.0"))
    await _import(services, tenant, workshop.revision(version="2.0.0"))

    shown = (await client.get(f"{PATH}/boats/versions")).json()

    assert [(one["revision"], one["version"], one["current"]) for one in shown["versions"]] == [
        (2, "2.0.0", True),
        (1, "1.0.0", False),
    ]
    assert (await client.get(f"{PATH}/boats", params={"version": "1.0.0"})).json()["revision"] == 1
    assert (await client.get(f"{PATH}/boats", params={"version": "1"})).json()["version"] == "1.0.0"
    refused = await client.get(f"{PATH}/boats", params={"version": "3.0.0"})
    assert refused.status_code == 404
    assert refused.json()["error"]["details"]["nearest"] == ["2.0.0"]


async def test_a_cover_is_a_picture_or_not_there(services: Services, client: httpx.AsyncClient) -> None:
    await _put(services, NewRevision(workshop.manifest("boats"), workshop.GRAPH, WEBP))
    await _put(services, workshop.revision("cars"))

    with_cover, without = (await client.get(PATH)).json()["workflows"]

    got = await client.get(with_cover["cover_url"])
    assert (got.content, got.headers["content-type"]) == (WEBP, "image/webp")
    assert without["cover_url"] is None
    assert (await client.get(f"{PATH}/cars/cover")).status_code == 404


async def test_faults_of_folders_are_told_to_admins_alone(
    services: Services, client: httpx.AsyncClient, admin: httpx.AsyncClient
) -> None:
    services.registry.faults["odd"] = (Fault("name", "is missing"),)

    assert (await client.get(PATH)).json()["faults"] is None
    assert (await admin.get(PATH)).json()["faults"] == [{"folder": "odd", "where": "name", "what": "is missing"}]


async def test_without_a_key_nothing_is_told(nobody: httpx.AsyncClient) -> None:
    for path in (PATH, f"{PATH}/boats", f"{PATH}/boats/versions", f"{PATH}/boats/cover"):
        assert (await nobody.get(path)).status_code == 401


async def test_the_document_has_the_workflows(nobody: httpx.AsyncClient) -> None:
    document = (await nobody.get("/openapi.json")).json()

    listed = document["paths"][PATH]["get"]
    assert {one["name"] for one in listed["parameters"]} == {"category", "family", "tag", "runnable", "lang"}
    assert "configurable_params" in document["components"]["schemas"]["WorkflowShown"]["properties"]


async def test_everybodys_workflows_stand_in_the_document_and_nobodys_own(
    services: Services, tenant: Tenant, nobody: httpx.AsyncClient
) -> None:
    before = (await nobody.get("/openapi.json")).json()
    await _put(services, workshop.revision())
    await _import(services, tenant, workshop.revision("mine"))

    after = (await nobody.get("/openapi.json")).json()

    validate(after)
    assert "workflow.boats" not in before["components"]["schemas"]
    assert after["components"]["schemas"]["workflow.boats"]["required"] == ["prompt"]
    assert "workflow.mine" not in after["components"]["schemas"]
    body = after["paths"]["/api/v1/generate"]["post"]["requestBody"]["content"]["application/json"]
    assert body["examples"]["boats"]["value"]["workflow_id"] == "boats"
