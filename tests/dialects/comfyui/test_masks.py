"""A mask gives its alpha to the picture that it names; the result has the upload's name (wire contract 9)."""

import json

import httpx
from PIL import PngImagePlugin

from atelier.dialects.services import Services
from support.pictures import opened, png
from support.produced import produce
from support.serving import Tenant

RED = png((8, 6), (200, 0, 0), workflow='{"nodes": []}')
MASK = png((8, 6), (0, 0, 0, 77))


async def put(client: httpx.AsyncClient, name: str, content: bytes, **fields: str) -> None:
    answer = await client.post("/upload/image", files={"image": (name, content)}, data=fields)
    assert answer.status_code == 200


async def mask(
    client: httpx.AsyncClient, ref: object, content: bytes = MASK, name: str = "m.png", **fields: str
) -> httpx.Response:
    told = ref if isinstance(ref, str) else json.dumps(ref)
    return await client.post(
        "/upload/mask", files={"image": (name, content)}, data={"original_ref": told, **fields}
    )


async def seen(client: httpx.AsyncClient, name: str = "m.png", **query: str) -> bytes | None:
    answer = await client.get("/view", params={"filename": name, "type": "input", **query})
    return answer.content if answer.status_code == 200 else None


async def test_the_alpha_of_the_mask_replaces_that_of_the_picture(client: httpx.AsyncClient) -> None:
    await put(client, "red.png", RED)

    answer = await mask(client, {"filename": "red.png", "type": "input"}, subfolder="clipspace", type="input")

    assert answer.json() == {"name": "m.png", "subfolder": "clipspace", "type": "input"}
    merged = opened(await seen(client, subfolder="clipspace") or b"")
    assert (merged.format, merged.mode, merged.getpixel((0, 0))) == ("PNG", "RGBA", (200, 0, 0, 77))
    assert isinstance(merged, PngImagePlugin.PngImageFile)
    assert merged.text == {"workflow": '{"nodes": []}'}


PLACES: list[tuple[dict[str, str], dict[str, str]]] = [
    ({"filename": "a.png", "subfolder": "s", "type": "input"}, {"subfolder": "s"}),
    ({"filename": "s/a.png", "type": "input"}, {"subfolder": "s"}),
    ({"filename": "a.png [input]", "subfolder": "s", "type": "temp"}, {"subfolder": "s"}),
    ({"filename": "a.png", "type": "temp"}, {"type": "temp"}),
    ({"filename": "a.png"}, {"type": "output"}),
]


async def test_the_picture_is_found_wherever_it_was_uploaded(client: httpx.AsyncClient) -> None:
    for number, (ref, of) in enumerate(PLACES):
        await put(client, "a.png", RED, overwrite="true", **of)

        answer = await mask(client, ref, name=f"{number}.png")

        assert answer.status_code == 200
        assert await seen(client, f"{number}.png") is not None


async def test_the_picture_may_be_one_that_a_job_made(
    client: httpx.AsyncClient, other: httpx.AsyncClient, services: Services, tenant: Tenant
) -> None:
    name = await produce(
        services.database, services.storage, tenant.account_id, "x_00001_.png", RED, subfolder="sea"
    )

    await mask(client, {"filename": name, "subfolder": "sea", "type": "output"})
    await mask(other, {"filename": name, "subfolder": "sea", "type": "output"})

    assert await seen(client) is not None
    assert await seen(other) is None


async def test_without_the_picture_there_is_a_name_and_no_file(client: httpx.AsyncClient) -> None:
    answer = await mask(client, {"filename": "nope.png"})

    assert (answer.status_code, answer.json()["name"]) == (200, "m.png")
    assert await seen(client) is None


async def test_other_results_get_the_next_name_and_overwriting_takes_it(client: httpx.AsyncClient) -> None:
    await put(client, "red.png", RED)
    ref = {"filename": "red.png", "type": "input"}

    names = [
        (await mask(client, ref)).json()["name"],
        (await mask(client, ref)).json()["name"],
        (await mask(client, ref, png((8, 6), (0, 0, 0, 9)))).json()["name"],
        (await mask(client, ref, png((8, 6), (0, 0, 0, 9)), overwrite="true")).json()["name"],
    ]

    assert names == ["m.png", "m.png", "m (1).png", "m.png"]
    assert opened(await seen(client) or b"").getpixel((0, 0)) == (200, 0, 0, 9)


async def test_a_mask_without_alpha_makes_the_picture_solid(client: httpx.AsyncClient) -> None:
    await put(client, "clear.png", png((8, 6), (1, 2, 3, 4)))

    await mask(client, {"filename": "clear.png", "type": "input"}, png((8, 6), (9, 9, 9)))

    assert opened(await seen(client) or b"").getpixel((0, 0)) == (1, 2, 3, 255)


REFUSED: list[tuple[object, bytes, str]] = [
    ({"filename": "red.png", "type": "input"}, png((4, 4), (0, 0, 0, 1)), "4 x 4"),
    ({"filename": "red.png", "type": "input"}, b"no picture", "picture"),
    ({"filename": "text.txt", "type": "input"}, MASK, "picture"),
    ("{bad", MASK, "JSON"),
    ("[]", MASK, "object"),
    ({"filename": 7}, MASK, ""),
    ({"filename": ""}, MASK, ""),
    ({"filename": "../red.png", "type": "input"}, MASK, ""),
    ({"filename": "/etc/passwd"}, MASK, ""),
    ({"filename": "red.png", "type": "bogus"}, MASK, ""),
    ({"filename": "red.png", "type": "input", "subfolder": "../.."}, MASK, ""),
    ({"filename": "red.png\0", "type": "input"}, MASK, ""),
]


async def test_what_cannot_be_a_mask_is_400_and_nothing_is_kept(client: httpx.AsyncClient) -> None:
    await put(client, "red.png", RED)
    await put(client, "text.txt", b"text")

    for ref, content, word in REFUSED:
        answer = await mask(client, ref, content)

        assert (answer.status_code, word in answer.text) == (400, True), ref
        assert await seen(client) is None


async def test_a_mask_without_its_picture_named_is_400(client: httpx.AsyncClient) -> None:
    answer = await client.post("/upload/mask", files={"image": ("m.png", MASK)})

    assert answer.status_code == 400
