"""A whole installation gets new workflows while it runs, by a folder and by import, without a line of code."""

import asyncio
import base64
import io
import itertools
from collections.abc import AsyncGenerator, Callable, Generator
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image

from atelier.workflows.folders import shipped
from conformance.installation import Installation, throwaway
from support import workshop
from workflows.converting.made_graphs import all_graphs

pytestmark = pytest.mark.timeout(300)

PATIENCE = 60.0
AT_ONCE = 4
URL = "/api/v1/workflows"
SHARED = {"shared": "true"}
EXPORT = all_graphs()["form_of_newer_versions"]
"""A file that the editor saved: checkpoint, two prompts, latent, sampler, decoder and save."""
CHECKPOINT = "simulated_v1.safetensors"
GRAPH = workshop.GRAPH | {"1": workshop.node("CheckpointLoaderSimple", "Checkpoint", ckpt_name=CHECKPOINT)}
CFG = {"type": "float", "default": 7, "min": 1, "max": 20, "bind": {"node": "Sampler", "input": "cfg"}}
SMALL = {"steps": 1, "refine_steps": 1, "frames": 13, "aspect_ratio": "512x512"}
SHIPPED = sorted(one.name for one in shipped().iterdir() if one.is_dir())

_seeds = itertools.count(1)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of the operator; empty."""
    return tmp_path_factory.mktemp("workflows")


@pytest.fixture(scope="module")
def atelier(folder: Path) -> Generator[Installation]:
    """With two simulated servers."""
    with throwaway("workflows", workflows_dir=str(folder)) as started:
        yield started


@pytest.fixture
async def client(atelier: Installation) -> AsyncGenerator[httpx.AsyncClient]:
    """Of the operator."""
    headers = {"Authorization": f"Bearer {atelier.key}"}
    async with httpx.AsyncClient(base_url=atelier.url, headers=headers, timeout=2 * PATIENCE) as made:
        yield made


async def got(client: httpx.AsyncClient, path: str, until: Callable[[Any], object]) -> Any:
    """The first answer that is as it should be: what is new is not known to every process at once."""
    async with asyncio.timeout(PATIENCE):
        while True:
            answer = await client.get(path)
            if answer.status_code == 200 and until(answer.json()):
                return answer.json()
            await asyncio.sleep(0.1)


async def runs_as(client: httpx.AsyncClient, workflow_id: str, revision: int) -> Any:
    """Its page once it runs as this revision."""
    return await got(client, f"{URL}/{workflow_id}", lambda shown: shown["revision"] == revision)


async def ran(
    client: httpx.AsyncClient, said: dict[str, Any], path: str = "/api/v1/generate", **query: Any
) -> Any:
    """One job that went well."""
    answer = await client.post(path, json=said, params={"wait": PATIENCE, **query})
    assert answer.status_code == 200, answer.text
    made = answer.json()
    assert made["status"] == "succeeded", made["error"]
    assert made["outputs"]
    return made


async def servers_of(client: httpx.AsyncClient, made: dict[str, Any]) -> set[str]:
    job = (await client.get(made["urls"]["self"])).json()
    return {one["server"] for one in job["attempts"]}


async def ran_on(client: httpx.AsyncClient, workflow_id: str, servers: int) -> set[str]:
    """Several at once, each with a seed of its own, until so many servers have had one."""
    used: set[str] = set()
    async with asyncio.timeout(PATIENCE):
        while len(used) < servers:
            asked = [
                {"workflow_id": workflow_id, "prompt": "a boat", "seed": next(_seeds)} for _ in range(AT_ONCE)
            ]
            for made in await asyncio.gather(*(ran(client, said) for said in asked)):
                used |= await servers_of(client, made)
    return used


async def stands_everywhere(client: httpx.AsyncClient, workflow_id: str, parameter: str) -> None:
    """In the list, in the schema of its parameters, and in the document of the whole interface."""
    listed = await got(client, URL, lambda shown: workflow_id in {one["id"] for one in shown["workflows"]})
    [own] = [one for one in listed["workflows"] if one["id"] == workflow_id]
    shown = await runs_as(client, workflow_id, own["revision"])
    name = f"workflow.{workflow_id}"
    document = await got(
        client,
        "/openapi.json",
        lambda document: parameter in document["components"]["schemas"].get(name, {}).get("properties", {}),
    )

    assert shown["runnable"] is True
    assert parameter in shown["configurable_params"]
    assert parameter in shown["parameters_schema"]["properties"]
    body = document["paths"]["/api/v1/generate"]["post"]["requestBody"]["content"]["application/json"]
    assert body["examples"][workflow_id]["value"]["workflow_id"] == workflow_id


async def can_go_back(client: httpx.AsyncClient, workflow_id: str) -> None:
    """Of two revisions the first can be run by name, and runs without one when the second is rolled back."""
    said = {"workflow_id": workflow_id, "prompt": "a boat"}

    earlier = await ran(client, said | {"version": 1, "seed": next(_seeds)})
    labelled = await ran(client, said | {"version": "1.0.0", "seed": next(_seeds)})
    newer = await ran(client, said | {"seed": next(_seeds)})
    rolled = await client.post(f"{URL}/{workflow_id}/rollback", json={"revision": 1}, params=SHARED)
    await runs_as(client, workflow_id, 1)
    after = await ran(client, said | {"seed": next(_seeds)})
    asked_for = await ran(client, said | {"version": 2, "seed": next(_seeds)})

    assert rolled.status_code == 200, rolled.text
    assert [one["revision"] for one in (earlier, labelled, newer, after, asked_for)] == [1, 1, 2, 1, 2]
    assert [one["version"] for one in (earlier, newer, after)] == ["1.0.0", "2.0.0", "1.0.0"]
    every = (await client.get(f"{URL}/{workflow_id}/versions")).json()["versions"]
    assert [(one["revision"], one["current"]) for one in every] == [(2, False), (1, True)]


async def test_a_folder_that_is_written_while_it_runs_is_a_workflow(
    client: httpx.AsyncClient, folder: Path
) -> None:
    workshop.write(folder, "night-boats", GRAPH)

    await stands_everywhere(client, "night-boats", "steps")
    assert len(await ran_on(client, "night-boats", 2)) == 2

    parameters = workshop.DOCUMENT["parameters"] | {"cfg": CFG}
    workshop.write(folder, "night-boats", GRAPH, version="2.0.0", parameters=parameters)
    await runs_as(client, "night-boats", 2)

    await stands_everywhere(client, "night-boats", "cfg")
    await can_go_back(client, "night-boats")
    said = {"workflow_id": "night-boats", "version": 1, "prompt": "a boat", "params": {"cfg": 3}}
    unknown = await client.post("/api/v1/generate", json=said)
    assert (unknown.status_code, unknown.json()["error"]["details"]["errors"][0]["parameter"]) == (400, "cfg")


async def test_a_file_of_the_editor_is_a_workflow_once_it_is_published(client: httpx.AsyncClient) -> None:
    brought = {"workflow": EXPORT, "name": "Light house", "shared": True}
    imported = await client.post(f"{URL}/import", json=brought)
    assert imported.status_code == 201, imported.text
    manifest = imported.json()["manifest"] | {"version": "1.0.0"}
    manifest["parameters"]["model"]["default"] = CHECKPOINT
    own = f"{URL}/light-house"

    edited = await client.put(f"{own}/draft", json={"manifest": manifest}, params=SHARED)
    tried = await ran(client, {"prompt": "a boat", "seed": next(_seeds)}, f"{own}/try", **SHARED)
    hidden = await client.get(own)
    published = await client.post(f"{own}/publish", params=SHARED)

    assert [one.status_code for one in (edited, hidden, published)] == [200, 404, 200]
    assert edited.json()["faults"] == []
    assert (tried["workflow_id"], tried["revision"]) == ("light-house", 1)
    await stands_everywhere(client, "light-house", "steps")
    assert len(await ran_on(client, "light-house", 2)) == 2

    parameters = manifest["parameters"] | {"file_name": _file_name(imported.json()["graph"])}
    second = await client.put(
        f"{own}/draft", json={"manifest": manifest | {"version": "2.0.0", "parameters": parameters}}, params=SHARED
    )
    assert second.status_code == 200, second.text
    await client.post(f"{own}/publish", params=SHARED)
    await runs_as(client, "light-house", 2)

    await stands_everywhere(client, "light-house", "file_name")
    await can_go_back(client, "light-house")


async def test_every_shipped_workflow_is_made_by_one_request(client: httpx.AsyncClient) -> None:
    listed = (await client.get(URL)).json()["workflows"]
    shown = [one for one in listed if one["origin"] == "shipped"]

    made = await asyncio.gather(*(ran(client, _request(one)) for one in shown))

    assert [one["workflow_id"] for one in made] == SHIPPED
    assert [one["id"] for one in shown if not one["runnable"]] == []


def _file_name(graph: dict[str, Any]) -> dict[str, Any]:
    """A parameter that nobody proposed."""
    save = next(node for node, said in graph.items() if said["class_type"] == "SaveImage")
    return {"type": "string", "default": "tower", "bind": {"node": save, "input": "filename_prefix"}}


def _request(shown: dict[str, Any]) -> dict[str, Any]:
    """What makes a run of it small, with a picture wherever one may be given."""
    files = {"image": _picture("RGB"), "mask": _picture("L"), "images": [_picture("RGB")]}
    params: dict[str, Any] = {}
    for name, described in shown["configurable_params"].items():
        if name in SMALL:
            params[name] = SMALL[name]
        elif described["type"] in files:
            params[name] = files[described["type"]]
        elif name == "prompt":
            params[name] = "a lighthouse"
    return {"workflow_id": shown["id"], "params": params}


def _picture(mode: str) -> str:
    file = io.BytesIO()
    Image.new(mode, (128, 128), "white").save(file, "PNG")
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()
