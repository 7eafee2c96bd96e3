"""A workflow is brought, edited, tried, published, versioned and taken back without a line of code."""

import io
import json
from typing import Any

import httpx
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from atelier.accounts.model import Role
from atelier.dialects.importing_wire import DraftShown
from atelier.dialects.services import Services
from atelier.fleet.inventory import from_object_info
from atelier.fleet.model import Origin
from atelier.fleet.store import catalogs, roster
from atelier.kit.ids import ServerId
from support.serving import make_tenant
from workflows.converting.made_graphs import all_graphs, recorded

URL = "/api/v1/workflows"
CLASSES = recorded()
CLASSES["CheckpointLoaderSimple"]["input"]["required"]["ckpt_name"][0] = ["v1.safetensors"]
EXPORT = all_graphs()["form_of_newer_versions"]


@pytest.fixture
async def client(client: httpx.AsyncClient, services: Services) -> httpx.AsyncClient:
    """Of an account whose fleet is one server with all recorded classes."""
    async with services.database.transaction() as tx:
        await roster.put(tx, ServerId("gpu-1"), "http://127.0.0.1:1", {}, Origin.ADDED)
        await catalogs.save_inventory(tx, ServerId("gpu-1"), from_object_info(CLASSES), {})
    await services.intake.fleet.refresh()
    client.timeout = httpx.Timeout(60)
    return client


def picture(document: Any, name: str = "workflow") -> bytes:
    info = PngInfo()
    info.add_text(name, json.dumps(document))
    file = io.BytesIO()
    Image.new("RGB", (8, 8)).save(file, "PNG", pnginfo=info)
    return file.getvalue()


async def drafted(client: httpx.AsyncClient, **said: Any) -> dict[str, Any]:
    answer = await client.post(f"{URL}/import", json={"workflow": EXPORT, "name": "Light house", **said})
    assert answer.status_code == 201, answer.text
    DraftShown.model_validate_json(answer.content)
    return dict(answer.json())


async def listed(client: httpx.AsyncClient) -> list[str]:
    return [one["id"] for one in (await client.get(URL)).json()["workflows"]]


async def test_a_file_of_the_editor_becomes_a_draft_with_proposed_parameters(client: httpx.AsyncClient) -> None:
    draft = await drafted(client)

    assert draft["workflow"]["id"] == "light-house"
    assert draft["workflow"]["draft"] is True
    assert draft["graph"]["5"]["inputs"]["steps"] == 12
    parameters = draft["manifest"]["parameters"]
    assert {
        "prompt",
        "negative_prompt",
        "aspect_ratio",
        "seed",
        "steps",
        "cfg",
        "sampler",
        "model",
    } <= parameters.keys()
    assert parameters["negative_prompt"]["default"] == "rain"
    assert parameters["prompt"]["bind"] == [{"node": "2", "input": "text"}]
    assert draft["missing_nodes"] == []
    assert await listed(client) == []


async def test_a_draft_is_edited_published_versioned_and_rolled_back(client: httpx.AsyncClient) -> None:
    draft = await drafted(client)
    manifest = draft["manifest"] | {"name": "Towers", "price": 7}

    edited = await client.put(f"{URL}/light-house/draft", json={"manifest": manifest})
    published = await client.post(f"{URL}/light-house/publish")
    second = await client.put(f"{URL}/light-house/draft", json={"manifest": manifest | {"price": 9}})
    again = await client.post(f"{URL}/light-house/publish")
    rolled = await client.post(f"{URL}/light-house/rollback", json={"revision": 1})

    assert [one.status_code for one in (edited, published, second, again, rolled)] == [200] * 5
    assert (published.json()["revision"], again.json()["revision"], rolled.json()["revision"]) == (1, 2, 1)
    assert await listed(client) == ["light-house"]
    shown = (await client.get(f"{URL}/light-house")).json()
    assert (shown["name"], shown["price"], shown["revision"]) == ("Towers", 7, 1)
    assert shown["parameters_schema"]["properties"]["prompt"]["type"] == "string"
    versions = (await client.get(f"{URL}/light-house/versions")).json()["versions"]
    assert [(one["revision"], one["current"]) for one in versions] == [(2, False), (1, True)]


async def test_what_is_withdrawn_is_listed_no_more(client: httpx.AsyncClient) -> None:
    await drafted(client)
    await client.post(f"{URL}/light-house/publish")

    gone = await client.delete(f"{URL}/light-house")

    assert gone.status_code == 204
    assert await listed(client) == []
    assert (await client.get(f"{URL}/light-house")).status_code == 404


async def test_names_alike_make_ids_of_their_own(client: httpx.AsyncClient) -> None:
    first, second = await drafted(client), await drafted(client)

    assert (first["workflow"]["id"], second["workflow"]["id"]) == ("light-house", "light-house-2")


async def test_an_id_that_is_said_gets_a_new_revision(client: httpx.AsyncClient) -> None:
    await drafted(client, id="tower")
    await client.post(f"{URL}/tower/publish")

    again = await drafted(client, id="tower")

    assert (again["workflow"]["id"], again["workflow"]["revision"]) == ("tower", 2)


@pytest.mark.parametrize("api", [False, True], ids=["as the editor saved it", "as it ran"])
async def test_the_workflow_inside_of_a_picture_is_found(client: httpx.AsyncClient, *, api: bool) -> None:
    document = (await drafted(client))["graph"] if api else EXPORT
    content = picture(document, "prompt" if api else "workflow")

    dragged = await client.post(f"{URL}/import", data={"name": "Dragged"}, files={"file": ("x.png", content)})
    bare = await client.post(f"{URL}/import", content=content, headers={"content-type": "image/png"})

    assert dragged.status_code == bare.status_code == 201, dragged.text
    assert dragged.json()["workflow"]["id"] == "dragged"
    assert dragged.json()["graph"]["5"]["inputs"]["seed"] == 42


async def test_a_graph_in_api_format_is_taken_as_it_is(client: httpx.AsyncClient) -> None:
    graph = (await drafted(client))["graph"]

    answer = await client.post(f"{URL}/import", json=graph)

    assert answer.status_code == 201
    assert answer.json()["graph"] == graph


async def test_what_no_server_has_is_named(client: httpx.AsyncClient) -> None:
    document = json.loads(json.dumps(EXPORT).replace("VAEDecode", "NobodyHasThis"))

    answer = await client.post(f"{URL}/import", json=document)

    assert answer.status_code == 422
    error = answer.json()["error"]
    assert error["code"] == "cannot_convert"
    [reason] = error["details"]["reasons"]
    assert (reason["reason"], reason["class_type"], reason["node"]) == ("unknown_node", "NobodyHasThis", "6")


@pytest.mark.parametrize(
    ("content", "kind", "status", "code"),
    [
        (b"{", "application/json", 400, "invalid_request"),
        (b"[]", "application/json", 400, "invalid_request"),
        (b"{}", "application/json", 422, None),
        (b'{"nodes": 5}', "application/json", 422, None),
        (b'{"workflow": {}, "colour": 1}', "application/json", 400, "invalid_request"),
        (picture({"nodes": "none"}), "image/png", 422, "no_workflow"),
        (b"\x89PNG\r\n\x1a\n\0\0\0\5tEXt", "image/png", 422, "no_workflow"),
        (b"nothing", "application/octet-stream", 422, "no_workflow"),
        (b"x" * 4_000_000, "image/png", 413, "payload_too_large"),
        (b"{}" + b" " * 300_000, "application/json", 413, "payload_too_large"),
    ],
    ids=["broken", "list", "empty", "odd nodes", "unknown field", "picture", "cut", "noise", "large", "long"],
)
async def test_what_is_no_workflow_is_refused(
    client: httpx.AsyncClient, content: bytes, kind: str, status: int, code: str | None
) -> None:
    answer = await client.post(f"{URL}/import", content=content, headers={"content-type": kind})

    assert answer.status_code == status, answer.text
    assert code is None or answer.json()["error"]["code"] == code


async def test_a_manifest_that_does_not_fit_is_refused_with_every_fault(client: httpx.AsyncClient) -> None:
    draft = await drafted(client)
    manifest = draft["manifest"]
    manifest["parameters"]["steps"]["bind"] = [{"node": "99", "input": "steps"}]

    answer = await client.put(f"{URL}/light-house/draft", json={"manifest": manifest})

    assert answer.status_code == 400
    [fault] = answer.json()["error"]["details"]["faults"]
    assert fault["where"] == "parameters.steps.bind[0].node"


async def test_others_see_nothing_of_it_and_change_nothing(
    client: httpx.AsyncClient, other: httpx.AsyncClient
) -> None:
    await drafted(client)
    await client.post(f"{URL}/light-house/publish")

    asked = [
        await other.get(f"{URL}/light-house/draft"),
        await other.put(f"{URL}/light-house/draft", json={}),
        await other.post(f"{URL}/light-house/publish"),
        await other.post(f"{URL}/light-house/rollback", json={"revision": 1}),
        await other.delete(f"{URL}/light-house"),
    ]

    assert [one.status_code for one in asked] == [404] * 5
    assert await listed(other) == []


async def test_everybodys_workflows_are_changed_by_admins_alone(
    client: httpx.AsyncClient, other: httpx.AsyncClient, services: Services
) -> None:
    refused = await client.post(f"{URL}/import", json={"workflow": EXPORT, "id": "all", "shared": True})
    admin = await make_tenant(services.database, "admin", Role.ADMIN)

    made = await client.post(
        f"{URL}/import", json={"workflow": EXPORT, "id": "all", "shared": True}, headers=admin.headers
    )
    published = await client.post(f"{URL}/all/publish?shared=true", headers=admin.headers)

    assert (refused.status_code, made.status_code, published.status_code) == (403, 201, 200)
    assert await listed(other) == ["all"]
    assert (await other.delete(f"{URL}/all?shared=true")).status_code == 403


async def test_a_draft_is_tried_before_it_is_published_by_its_owner_alone(
    client: httpx.AsyncClient, other: httpx.AsyncClient
) -> None:
    await drafted(client)

    tried = await client.post(f"{URL}/light-house/try", json={"prompt": "a boat", "seed": 5})
    foreign = await other.post(f"{URL}/light-house/try", json={"prompt": "a boat"})
    wrong = await client.post(f"{URL}/light-house/try", json={"params": {"steps": 9_000}})

    assert (tried.status_code, foreign.status_code, wrong.status_code) == (202, 404, 400), tried.text
    assert (tried.json()["workflow_id"], tried.json()["seed"]) == ("light-house", 5)
    assert await listed(client) == []


async def test_everybodys_draft_is_tried_by_admins_alone_even_beside_one_of_their_own(
    client: httpx.AsyncClient, services: Services
) -> None:
    admin = await make_tenant(services.database, "admin", Role.ADMIN)
    for shared, price in ((True, 7), (False, 9)):
        made = {"workflow": EXPORT, "id": "all", "shared": shared}
        draft = await client.post(f"{URL}/import", json=made, headers=admin.headers)
        changed = {"manifest": draft.json()["manifest"] | {"price": price}}
        query = {"shared": str(shared).lower()}
        await client.put(f"{URL}/all/draft", json=changed, params=query, headers=admin.headers)

    asked = {"prompt": "a boat", "seed": 5}
    everybodys = await client.post(f"{URL}/all/try?shared=true", json=asked, headers=admin.headers)
    own = await client.post(f"{URL}/all/try", json=asked | {"seed": 6}, headers=admin.headers)
    refused = await client.post(f"{URL}/all/try?shared=true", json=asked)

    assert (everybodys.status_code, own.status_code, refused.status_code) == (202, 202, 403), everybodys.text
    assert (everybodys.json()["price"], own.json()["price"]) == (7, 9)
