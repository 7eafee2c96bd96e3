"""The fleet's catalogue reaches an editor as one server's, quickly, with the caller's own files in it."""

import gzip
import json
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import httpx
import pytest

from atelier.dialects.comfyui import prepared
from atelier.dialects.comfyui.prepared import Prepared
from atelier.dialects.services import Services
from atelier.fleet.model import Health
from atelier.simulator.config import SimulatorConfig
from support.fleet import simulator
from support.serving import Tenant
from support.showroom import Showroom, showroom, upload

RECORDED = Path(__file__).parents[2] / "recordings" / "object_info.json.gz"
LOADER = {"Loader": {"input": {"required": {"ckpt": [["a.safetensors"], {}]}}, "output": []}}


@pytest.fixture(scope="module")
def recorded() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(gzip.decompress(RECORDED.read_bytes()))
    return found


@pytest.fixture
async def room(services: Services) -> AsyncGenerator[Showroom]:
    async with showroom(services) as made:
        yield made


@pytest.fixture
async def client(room: Showroom, tenant: Tenant) -> AsyncGenerator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=room.url, headers=tenant.headers) as made:
        yield made


@pytest.fixture
async def other(room: Showroom, stranger: Tenant) -> AsyncGenerator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=room.url, headers=stranger.headers) as made:
        yield made


async def test_a_fleet_of_one_real_server_shows_what_that_server_shows(
    room: Showroom, client: httpx.AsyncClient, recorded: dict[str, Any]
) -> None:
    await room.catalogue("one", recorded)

    shown = (await client.get("/object_info")).json()

    assert list(shown["KSampler"]["input"]["required"]) == list(recorded["KSampler"]["input"]["required"])
    for name in ("LoadImage", "LoadImageMask"):
        recorded[name]["input"]["required"]["image"][0] = []
    assert shown == recorded


async def test_classes_and_choices_are_those_of_all_servers_until_they_are_removed(
    room: Showroom, client: httpx.AsyncClient
) -> None:
    await room.catalogue("a", LOADER | {"OnlyHere": {"input": {}, "output": []}})
    third = {"input": {"required": {"ckpt": ["COMBO", {"options": ["b.safetensors"]}]}}, "output": []}
    await room.catalogue("b", {"Loader": third})
    await room.health("b", Health.OFFLINE)

    both = (await client.get("/api/object_info")).json()
    one = (await client.get("/object_info/Loader")).json()
    await room.remove("b")
    left = (await client.get("/object_info")).json()

    assert both["Loader"]["input"]["required"]["ckpt"] == [["a.safetensors", "b.safetensors"], {}]
    assert one == {"Loader": both["Loader"]}
    assert list(both) == ["Loader", "OnlyHere"]
    assert left["Loader"] == LOADER["Loader"]


async def test_an_unknown_class_is_an_empty_object(room: Showroom, client: httpx.AsyncClient) -> None:
    await room.catalogue("a", LOADER)

    answer = await client.get("/object_info/No/Such Class")

    assert (answer.status_code, answer.json()) == (200, {})


async def test_a_fleet_that_nobody_knows_yet_has_no_nodes(client: httpx.AsyncClient) -> None:
    assert (await client.get("/object_info")).json() == {}


async def test_loaders_offer_the_callers_own_files_and_nobody_elses(
    room: Showroom, client: httpx.AsyncClient, other: httpx.AsyncClient, tenant: Tenant, recorded: dict[str, Any]
) -> None:
    await room.catalogue("a", recorded)
    for name in ("b.png", "a.webp", "clip.mp4", "song.mp3", "notes.txt"):
        await upload(room.services, tenant, name)

    mine = (await client.get("/object_info")).json()
    theirs = (await other.get("/object_info/LoadImage")).json()
    single = (await client.get("/object_info/LoadVideo")).json()

    assert mine["LoadImage"]["input"]["required"]["image"] == [["a.webp", "b.png"], {"image_upload": True}]
    assert mine["LoadAudio"]["input"]["required"]["audio"][0] == ["clip.mp4", "song.mp3"]
    assert single["LoadVideo"]["input"]["required"]["file"][1]["options"] == ["clip.mp4"]
    assert theirs["LoadImage"]["input"]["required"]["image"][0] == []
    assert "options" not in mine["LoadImageOutput"]["input"]["required"]["image"][1]


async def test_what_a_client_has_already_is_not_sent_again_until_something_changes(
    room: Showroom, client: httpx.AsyncClient, other: httpx.AsyncClient, tenant: Tenant, recorded: dict[str, Any]
) -> None:
    await room.catalogue("a", recorded)
    tag = (await client.get("/object_info")).headers["etag"]

    same = await client.get("/object_info", headers={"If-None-Match": tag})
    await upload(room.services, tenant, "new.png")
    changed = await client.get("/object_info", headers={"If-None-Match": tag})
    theirs = await other.get("/object_info", headers={"If-None-Match": changed.headers["etag"]})

    assert (same.status_code, same.content) == (304, b"")
    assert changed.status_code == theirs.status_code == 200


async def test_it_is_packed_for_who_takes_it_packed(
    room: Showroom, client: httpx.AsyncClient, tenant: Tenant, recorded: dict[str, Any]
) -> None:
    await room.catalogue("a", recorded)
    await upload(room.services, tenant, "new.png")

    plain = await client.get("/object_info", headers={"Accept-Encoding": "identity"})
    packed = await client.get("/object_info", headers={"Accept-Encoding": "br, gzip;q=0.8"})
    head = await client.head("/object_info", headers={"Accept-Encoding": "identity"})

    assert packed.headers["content-encoding"] == "gzip"
    assert int(packed.headers["content-length"]) < len(plain.content) / 5
    assert packed.content == plain.content
    assert packed.headers["etag"] == plain.headers["etag"]
    assert head.headers["content-length"] == str(len(plain.content))


def test_pieces_that_were_packed_at_different_times_are_one_gzip_member() -> None:
    body = Prepared((b"[1," * 1000, b"," * 5000, b"]"))

    for fillings in ([b"one", b""], [b"", b"two" * 9000]):
        assert gzip.decompress(body.packed(fillings)) == body.plain(fillings)


@pytest.mark.parametrize(
    ("header", "takes"),
    [
        ("gzip", True),
        ("br, GZIP ; q=0.5", True),
        ("gzip;q=0", False),
        ("gzip; q=0.000", False),
        ("br", False),
        ("", False),
    ],
)
def test_who_refuses_gzip_gets_none(header: str, takes: bool) -> None:
    assert prepared.takes_gzip({"accept-encoding": header}) is takes


# Model files -----------------------------------------------------------------------------------


async def test_models_are_told_by_name_over_all_servers(room: Showroom, client: httpx.AsyncClient) -> None:
    await room.catalogue(
        "a", LOADER, files={"checkpoints": {"a.safetensors": 0}, "embeddings": {"bad/hands.pt": 1}}
    )
    await room.catalogue(
        "b", LOADER, files={"checkpoints": {"a.safetensors": 7, "b.ckpt": 8}, "sams": {"s.pth": 9}}
    )

    folders = (await client.get("/models")).json()
    files = (await client.get("/models/checkpoints")).json()
    sized = (await client.get("/api/experiment/models/checkpoints")).json()

    assert (folders[0], folders[-1]) == ("checkpoints", "sams")
    assert files == ["a.safetensors", "b.ckpt"]
    assert [(one["name"], one["size"], one["pathIndex"]) for one in sized] == [
        ("a.safetensors", 7, 0),
        ("b.ckpt", 8, 0),
    ]
    assert (await client.get("/embeddings")).json() == ["bad/hands"]
    assert (await client.get("/models/loras")).json() == []


async def test_old_names_of_folders_lead_to_the_new_ones(room: Showroom, client: httpx.AsyncClient) -> None:
    await room.catalogue("a", LOADER, files={"diffusion_models": {"f.gguf": 1}, "text_encoders": {"t5.gguf": 1}})

    assert (await client.get("/models/unet")).json() == ["f.gguf"]
    assert [one["name"] for one in (await client.get("/experiment/models/clip")).json()] == ["t5.gguf"]


@pytest.mark.parametrize(
    "path", ["/models/nope", "/experiment/models/nope", "/view_metadata/nope?filename=x.safetensors"]
)
async def test_an_unknown_folder_is_an_empty_404(client: httpx.AsyncClient, path: str) -> None:
    answer = await client.get(path)

    assert (answer.status_code, answer.content) == (404, b"")


async def test_where_files_lie_on_servers_is_told_to_nobody(
    room: Showroom, client: httpx.AsyncClient, tmp_path: Path
) -> None:
    async with simulator(SimulatorConfig(directory=tmp_path / "secret")) as url:
        await room.server(url, "sim")

        told = [
            await client.get(path) for path in ("/experiment/models", "/internal/folder_paths", "/system_stats")
        ]

    assert all(answer.status_code == 200 and "secret" not in answer.text for answer in told)
    assert {"name": "loras", "folders": ["models/loras"]} in told[0].json()
    assert "configs" not in [one["name"] for one in told[0].json()]


async def test_heads_and_pictures_of_models_come_from_a_server_that_has_them(
    room: Showroom, client: httpx.AsyncClient
) -> None:
    async with simulator(SimulatorConfig(checkpoints=("sub/one.safetensors",))) as url, simulator() as without:
        await room.server(without, "a")
        await room.server(url, "b")

        metadata = await client.get("/view_metadata/checkpoints", params={"filename": "sub/one.safetensors"})
        picture = await client.get("/experiment/models/preview/checkpoints/0/sub/one.safetensors")
        missing = await client.get("/experiment/models/preview/checkpoints/0/nope.safetensors")
        lora = await client.get("/experiment/models/preview/loras/0/simulated_detail.safetensors")

    assert metadata.json() == {"modelspec.title": "SIMULATED sub/one.safetensors"}
    assert (picture.headers["content-type"], picture.content[8:12]) == ("image/webp", b"WEBP")
    assert (missing.status_code, lora.status_code) == (404, 404)


async def test_without_a_key_nothing_is_told(room: Showroom) -> None:
    async with httpx.AsyncClient(base_url=room.url) as nobody:
        answers = [
            await nobody.get(path) for path in ("/object_info", "/api/models", "/extensions", "/system_stats")
        ]

    assert {answer.status_code for answer in answers} == {401}
