"""Small pictures over HTTP: by key, by a signed link, once for everybody who asks."""

import asyncio
import io
import uuid

import httpx
from PIL import Image

from atelier.assets import service as assets
from atelier.assets.model import Draft
from atelier.assets.pictures.thumbnails import SIZES
from atelier.dialects.services import Services
from atelier.kit.ids import AccountId, AssetId, JobId, new_uuid
from support.graphs import picture
from support.media import sound, video
from support.pictures import png, png_bomb
from support.serving import Tenant
from support.stage import Stage


async def kept(services: Services, account_id: AccountId, content: bytes, name: str = "x.png") -> AssetId:
    received = await assets.receive_bytes(services.database, services.storage, content)
    async with services.database.transaction() as tx:
        return (await assets.record(tx, received, Draft(account_id, file_path=name))).asset.id


def shown(answer: httpx.Response) -> Image.Image:
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "image/webp"
    image = Image.open(io.BytesIO(answer.content))
    image.load()
    assert image.format == "WEBP"
    return image


async def test_a_picture_is_shown_in_every_size(
    services: Services, client: httpx.AsyncClient, tenant: Tenant
) -> None:
    asset_id = await kept(services, tenant.account_id, png((2000, 1000), (200, 10, 10)))

    answers = [await client.get(f"/api/v1/assets/{asset_id}/thumbnail", params={"size": size}) for size in SIZES]

    assert [shown(answer).size for answer in answers] == [(size, size // 2) for size in SIZES]


async def test_without_a_size_it_has_256_pixels_and_is_never_enlarged(
    services: Services, client: httpx.AsyncClient, tenant: Tenant
) -> None:
    large = await kept(services, tenant.account_id, png((300, 600)))
    small = await kept(services, tenant.account_id, png((30, 20), (1, 2, 3, 0)))

    tall = shown(await client.get(f"/api/v1/assets/{large}/thumbnail"))
    clear = shown(await client.get(f"/api/v1/assets/{small}/thumbnail"))

    assert (tall.size, clear.size) == ((128, 256), (30, 20))
    assert clear.convert("RGBA").getchannel("A").getextrema() == (0, 0)


async def test_a_video_is_shown_by_its_first_frame(
    services: Services, client: httpx.AsyncClient, tenant: Tenant
) -> None:
    for container, codec in (("mp4", "h264"), ("webm", "libvpx-vp9")):
        asset_id = await kept(services, tenant.account_id, video(container, codec), f"x.{container}")

        image = shown(await client.get(f"/api/v1/assets/{asset_id}/thumbnail?size=64"))

        assert image.size == (64, 48)
        red, _, blue = image.convert("RGB").resize((1, 1)).tobytes()
        assert red > 200
        assert blue < 60


async def test_what_has_no_look_has_no_thumbnail(
    services: Services, client: httpx.AsyncClient, tenant: Tenant
) -> None:
    for name, content in {
        "x.txt": b"a text",
        "x.flac": sound(),
        "x.png": png()[:40],
        "x.mp4": video()[:400],
        "bomb.png": png_bomb(9000, 9000),
        "x.safetensors": b"\x02\0\0\0\0\0\0\0{}",
    }.items():
        asset_id = await kept(services, tenant.account_id, content, name)

        answer = await client.get(f"/api/v1/assets/{asset_id}/thumbnail")

        assert (answer.status_code, answer.json()["error"]["code"]) == (404, "no_thumbnail"), name


async def test_other_sizes_are_refused_with_those_there_are(
    services: Services, client: httpx.AsyncClient, tenant: Tenant
) -> None:
    asset_id = await kept(services, tenant.account_id, png())

    for size in ("", "0", "100", "-64", "64.0", "1e9", "x"):
        answer = await client.get(f"/api/v1/assets/{asset_id}/thumbnail", params={"size": size})

        assert answer.status_code == 400, size
        assert answer.json()["error"]["details"]["sizes"] == list(SIZES)


async def test_who_has_it_is_told_so(services: Services, client: httpx.AsyncClient, tenant: Tenant) -> None:
    asset_id = await kept(services, tenant.account_id, png())
    path = f"/api/v1/assets/{asset_id}/thumbnail"

    first = await client.get(path)
    again = await client.get(path, headers={"If-None-Match": first.headers["etag"]})
    other = await client.get(path, headers={"If-None-Match": '"other"'})

    assert (again.status_code, again.content, other.status_code) == (304, b"", 200)
    assert again.headers["etag"] == first.headers["etag"]
    assert first.headers["cache-control"] == "private, max-age=86400"
    assert "Authorization" in first.headers["vary"]
    assert first.headers["x-content-type-options"] == "nosniff"


async def test_a_foreign_file_is_not_found(
    services: Services, client: httpx.AsyncClient, other: httpx.AsyncClient, tenant: Tenant
) -> None:
    asset_id = await kept(services, tenant.account_id, png())
    shown(await client.get(f"/api/v1/assets/{asset_id}/thumbnail"))

    for answer in (
        await other.get(f"/api/v1/assets/{asset_id}/thumbnail"),
        await client.get(f"/api/v1/assets/{new_uuid()}/thumbnail"),
        await client.get("/api/v1/assets/x/thumbnail"),
    ):
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, "not_found")


async def test_a_link_opens_the_thumbnail_and_not_the_file(
    services: Services, nobody: httpx.AsyncClient, base: str, tenant: Tenant
) -> None:
    asset_id = await kept(services, tenant.account_id, png((100, 100)))
    link = services.links.thumbnail(base, asset_id, 64).url
    query = link.partition("?")[2]
    of_file = services.links.link(base, asset_id).url.partition("?")[2]

    opened = await nobody.get(link)
    bigger = await nobody.get(link.replace("size=64", "size=128"))
    whole = await nobody.get(f"/files/{asset_id}?{query}")
    turned = await nobody.get(f"/files/{asset_id}/thumbnail?{of_file}")
    unsigned = await nobody.get(f"/files/{asset_id}/thumbnail")
    odd = await nobody.get("/files/x/thumbnail")

    assert (shown(opened).size, shown(bigger).size) == ((64, 64), (100, 100))
    assert [one.status_code for one in (whole, turned, unsigned, odd)] == [403] * 4


async def test_a_jobs_picture_names_its_thumbnail(
    client: httpx.AsyncClient, nobody: httpx.AsyncClient, stage: Stage
) -> None:
    accepted = (await client.post("/api/v2/jobs", json={"workflow": picture()})).json()
    await stage.succeed(await stage.start(JobId(uuid.UUID(accepted["id"]))), [png((300, 300))])

    [output] = (await client.get(f"/api/v1/jobs/{accepted['id']}")).json()["outputs"]

    assert shown(await nobody.get(output["thumbnail_url"])).size == (256, 256)


async def test_many_who_ask_at_once_get_one_and_the_same(
    services: Services, client: httpx.AsyncClient, tenant: Tenant
) -> None:
    ids = [await kept(services, tenant.account_id, png((900, 900)), f"{number}.png") for number in range(3)]

    answers = await asyncio.gather(
        *(client.get(f"/api/v1/assets/{ids[number % 3]}/thumbnail") for number in range(12))
    )

    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.headers["etag"] for answer in answers}) == 1
    async with services.database.autocommit() as tx:
        rows = await tx.execute("SELECT count(*) FROM thumbnails")
        assert await rows.fetchone() == (1,)
