"""Files by name over whole runs: whichever server runs a prompt has them, and no server has to stay for them."""

import json
from collections.abc import AsyncGenerator
from typing import Any

import aiohttp
import pytest

from atelier.fleet import service as fleet
from atelier.kit.ids import ServerId
from support.fleet import Ground, simulator
from support.native_site import Site, native_site
from support.pictures import opened, png
from support.serving import Tenant, eventually

RED, BLUE = png((32, 32), (255, 0, 0)), png((32, 32), (0, 0, 255))


@pytest.fixture
async def site(ground: Ground) -> AsyncGenerator[Site]:
    async with native_site(ground) as made, simulator() as second:
        await ground.add_server(second, "sim-2")
        await ground.known(2)
        yield made


def loaded(value: str, prefix: str = "ComfyUI", *, saver: str = "SaveImage") -> dict[str, Any]:
    inputs = {"images": ["2", 0], **({"filename_prefix": prefix} if saver == "SaveImage" else {})}
    return {
        "1": {"class_type": "LoadImage", "inputs": {"image": value}},
        "2": {"class_type": "ImageInvert", "inputs": {"image": ["1", 0]}},
        "3": {"class_type": saver, "inputs": inputs},
    }


async def upload(
    site: Site, name: str, content: bytes, path: str = "/upload/image", who: Tenant | None = None, **fields: str
) -> dict[str, str]:
    form = aiohttp.FormData(fields)
    form.add_field("image", content, filename=name, content_type="image/png")
    headers = (who or site.tenant).headers
    async with site.http.post(site.near + path, data=form, headers=headers) as answer:
        assert answer.status == 200
        told: dict[str, str] = await answer.json()
    return told


async def run(site: Site, graph: dict[str, Any], who: Tenant | None = None) -> dict[str, Any]:
    """The history entry, once there is one."""
    headers = (who or site.tenant).headers
    async with site.http.post(f"{site.near}/prompt", json={"prompt": graph}, headers=headers) as answer:
        assert answer.status == 200, await answer.text()
        prompt_id = (await answer.json())["prompt_id"]
    entry: dict[str, Any] = {}

    async def is_there() -> bool:
        async with site.http.get(f"{site.near}/history/{prompt_id}", headers=headers) as answer:
            entry.update(await answer.json())
        return bool(entry)

    await eventually(is_there)
    found: dict[str, Any] = entry[prompt_id]
    assert found["status"]["status_str"] == "success", found["status"]
    return found


def file_of(entry: dict[str, Any]) -> dict[str, str]:
    [file] = entry["outputs"]["3"]["images"]
    found: dict[str, str] = file
    return found


def value_of(file: dict[str, str]) -> str:
    """As the editor writes it into a loader."""
    path = f"{file['subfolder']}/{file['filename']}" if file["subfolder"] else file["filename"]
    return f"{path} [{file['type']}]"


async def seen(site: Site, file: dict[str, str], who: Tenant | None = None) -> bytes | None:
    headers = (who or site.tenant).headers
    async with site.http.get(f"{site.near}/view", params=file, headers=headers) as answer:
        assert answer.status in {200, 404}
        return await answer.read() if answer.status == 200 else None


async def pixel(site: Site, file: dict[str, str], who: Tenant | None = None) -> object:
    content = await seen(site, file, who)
    assert content is not None
    return opened(content).convert("RGB").getpixel((0, 0))


async def switched(site: Site, server_id: str, *, on: bool) -> None:
    async with site.ground.database.transaction() as tx:
        await fleet.change(tx, ServerId(server_id), {"enabled": on})
    site.ground.wakeups.publish("fleet")
    await site.ground.view.refresh()


async def removed(site: Site, server_id: str) -> None:
    async with site.ground.database.transaction() as tx:
        await fleet.remove(tx, ServerId(server_id))
    site.ground.wakeups.publish("fleet")


async def test_an_upload_is_on_whichever_server_runs_the_prompt(site: Site) -> None:
    await upload(site, "in.png", RED, subfolder="my/pictures")
    graph = loaded("my/pictures/in.png", "sea/side")

    await switched(site, "sim-2", on=False)
    first = file_of(await run(site, graph))
    await switched(site, "sim-2", on=True)
    await switched(site, "sim-1", on=False)
    second = file_of(await run(site, graph))

    assert first["filename"] != second["filename"]
    assert [first["subfolder"], second["subfolder"]] == ["sea", "sea"]
    assert [await pixel(site, file) for file in (first, second)] == [(0, 255, 255)] * 2


async def test_what_was_made_is_loaded_by_its_shown_name_and_seen_when_its_server_is_gone(site: Site) -> None:
    await upload(site, "in.png", RED)
    await switched(site, "sim-2", on=False)
    kept = file_of(await run(site, loaded("in.png", "deep/er/x")))
    passing = file_of(await run(site, loaded("in.png", saver="PreviewImage")))
    await removed(site, "sim-1")
    await switched(site, "sim-2", on=True)

    again = [file_of(await run(site, loaded(value_of(file)))) for file in (kept, passing)]

    assert [kept["type"], passing["type"]] == ["output", "temp"]
    assert [await pixel(site, file) for file in (kept, passing)] == [(0, 255, 255)] * 2
    assert [await pixel(site, file) for file in again] == [(255, 0, 0)] * 2


async def test_a_mask_over_a_made_picture_is_loaded_as_one(site: Site) -> None:
    await upload(site, "in.png", RED)
    made = file_of(await run(site, loaded("in.png")))
    ref = json.dumps(made)

    masked = await upload(
        site, "m.png", png((32, 32), (0, 0, 0, 0)), "/upload/mask", original_ref=ref, subfolder="clipspace"
    )
    graph = {
        "1": {
            "class_type": "LoadImageMask",
            "inputs": {"image": f"{masked['subfolder']}/{masked['name']} [input]", "channel": "alpha"},
        },
        "2": {"class_type": "MaskToImage", "inputs": {"mask": ["1", 0]}},
        "3": {"class_type": "SaveImage", "inputs": {"images": ["2", 0], "filename_prefix": "mask"}},
    }

    assert await pixel(site, file_of(await run(site, graph))) == (255, 255, 255)


async def test_two_accounts_share_servers_and_no_names(site: Site) -> None:
    await upload(site, "in.png", RED)
    await upload(site, "in.png", BLUE, who=site.stranger)

    mine = file_of(await run(site, loaded("in.png")))
    theirs = file_of(await run(site, loaded("in.png"), site.stranger))

    assert await pixel(site, mine) == (0, 255, 255)
    assert await pixel(site, theirs, site.stranger) == (255, 255, 0)
    assert await seen(site, theirs) is None
    assert await seen(site, mine, site.stranger) is None
    headers = site.stranger.headers
    body = {"prompt": loaded(value_of(mine))}
    async with site.http.post(f"{site.near}/prompt", json=body, headers=headers) as answer:
        refused = await answer.json()
    assert answer.status == 400
    [fault] = refused["node_errors"]["1"]["errors"]
    assert fault["type"] == "custom_validation_failed"


async def test_an_overwritten_upload_is_what_the_next_prompt_loads(site: Site) -> None:
    await upload(site, "in.png", RED)
    first = file_of(await run(site, loaded("in.png")))
    await upload(site, "in.png", BLUE, overwrite="true")

    second = file_of(await run(site, loaded("in.png")))

    assert [await pixel(site, file) for file in (first, second)] == [(0, 255, 255), (255, 255, 0)]
