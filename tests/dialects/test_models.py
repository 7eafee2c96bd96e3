"""Which model files exist where: anybody may ask, admins are told which servers."""

from collections.abc import AsyncGenerator
from typing import Any

import httpx
import pytest

from atelier.accounts.model import Role
from atelier.dialects.services import Services
from atelier.fleet import service as fleet
from atelier.fleet.inventory import Files, from_object_info
from atelier.fleet.model import Health
from atelier.fleet.store import catalogs, roster
from atelier.kit.database import Database
from support.serving import make_tenant

PATH = "/api/v1/models"
LOADERS = {"VAELoader": {"input": {"required": {"vae_name": [["ae.safetensors"], {}]}}}}


@pytest.fixture
async def admin(base: str, database: Database) -> AsyncGenerator[httpx.AsyncClient]:
    tenant = await make_tenant(database, "operator", Role.ADMIN)
    async with httpx.AsyncClient(base_url=base, headers=tenant.headers) as made:
        yield made


@pytest.fixture
async def stocked(services: Services) -> None:
    """Two servers with checkpoints, one of them away; an old one that tells only its loaders; one unknown."""
    both: Files = {"checkpoints": {"sd15.safetensors": 4_000, "flux1-dev.safetensors": 0}, "loras": {}}
    held = {"up": both, "down": {"checkpoints": {"sd15.safetensors": 0}}, "old": {}}
    async with services.database.transaction() as tx:
        for name, files in held.items():
            server_id = await fleet.add(tx, f"http://{name}:1", server_id=name)
            await catalogs.save_inventory(tx, server_id, from_object_info(LOADERS, files), {})
            await roster.save_health(tx, server_id, Health.OFFLINE if name == "down" else Health.READY, "")
        await fleet.add(tx, "http://unknown:1", server_id="unknown")
    await services.intake.fleet.refresh()


async def test_models_are_listed_by_folder(stocked: None, client: httpx.AsyncClient) -> None:
    shown = (await client.get(PATH)).json()

    folders = {each["folder"]: {one["name"]: one for one in each["models"]} for each in shown["folders"]}
    assert (shown["servers"], shown["unknown"]) == (4, 1)
    assert list(folders) == ["checkpoints", "vae"]
    assert folders["checkpoints"]["sd15.safetensors"] == {
        "name": "sd15.safetensors",
        "size_bytes": 4_000,
        "on": 2,
        "ready": 1,
        "servers": None,
    }


async def test_admins_are_told_which_servers(stocked: None, admin: httpx.AsyncClient) -> None:
    shown = (await admin.get(PATH, params={"folder": "vae"})).json()

    [folder] = shown["folders"]
    assert folder["models"][0]["servers"] == ["old"]


async def test_one_that_exists_is_found_where_it_is(stocked: None, client: httpx.AsyncClient) -> None:
    found = (await client.get(f"{PATH}/verify", params={"name": "sd15.safetensors"})).json()

    assert (found["exists"], found["on"], found["of"], found["ready"]) == (True, 2, 4, 1)
    assert [place["folder"] for place in found["places"]] == ["checkpoints"]
    assert found["says"] == "sd15.safetensors exists on 2 of 4 servers, in checkpoints."
    assert "up" not in str(found["places"])


async def test_one_that_does_not_has_names_like_it(stocked: None, client: httpx.AsyncClient) -> None:
    found = (await client.get(f"{PATH}/verify", params={"name": "flux1-dv.safetensors"})).json()
    elsewhere = (await client.get(f"{PATH}/verify", params={"name": "sd15.safetensors", "folder": "vae"})).json()

    assert (found["exists"], found["nearest"][0]) == (False, "flux1-dev.safetensors")
    assert "Did you mean flux1-dev.safetensors" in found["says"]
    assert (elsewhere["exists"], elsewhere["on"]) == (False, 0)


async def test_several_are_verified_at_once(stocked: None, client: httpx.AsyncClient) -> None:
    wanted = [{"name": "sd15.safetensors", "folder": "checkpoints"}, {"name": "nothing.like.it"}]

    found = (await client.post(f"{PATH}/verify", json={"models": wanted})).json()["models"]

    assert [one["exists"] for one in found] == [True, False]


async def test_what_is_no_question_is_refused(client: httpx.AsyncClient) -> None:
    one = {"name": "a"}
    bad: tuple[dict[str, Any], ...] = (
        {},
        {"models": []},
        {"models": [one] * 21},
        {"models": [{}]},
        {"models": [one | {"x": 1}]},
        {"name": "a"},
    )

    posted = [(await client.post(f"{PATH}/verify", json=body)).status_code for body in bad]
    asked = [
        (await client.get(f"{PATH}{path}")).status_code
        for path in ("/verify", "/verify?name=", "?folder=", f"?folder={'x' * 401}")
    ]

    assert posted + asked == [400] * 10
