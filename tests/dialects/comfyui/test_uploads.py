"""Uploads through the native API get ComfyUI's own names, and never touch anything else (wire contract 9)."""

import asyncio
from typing import Any

import httpx
import pytest

from atelier.assets import naming, service
from atelier.dialects.services import Services
from atelier.kit.ids import AccountId
from support.pictures import png
from support.serving import Tenant

PNG = png()


async def upload(
    client: httpx.AsyncClient, name: str, content: bytes = PNG, path: str = "/upload/image", **fields: str
) -> httpx.Response:
    return await client.post(path, files={"image": (name, content, "image/png")}, data=fields)


def form(*parts: tuple[str, bytes]) -> tuple[bytes, dict[str, str]]:
    """A body of parts (their disposition behind `form-data; `, their content), and its headers."""
    body = b"".join(
        b"--edge\r\nContent-Disposition: form-data; " + told.encode() + b"\r\n\r\n" + content + b"\r\n"
        for told, content in parts
    )
    return body + b"--edge--\r\n", {"Content-Type": "multipart/form-data; boundary=edge"}


async def post(client: httpx.AsyncClient, *parts: tuple[str, bytes]) -> httpx.Response:
    body, headers = form(*parts)
    return await client.post("/upload/image", content=body, headers=headers)


async def stored(services: Services, account: AccountId, value: str) -> bytes | None:
    async with services.database.transaction() as tx:
        asset_id = await naming.resolve(tx, account, value)
        if asset_id is None:
            return None
        asset = await service.get(tx, account, asset_id)
    return b"".join([chunk async for chunk in (await service.stream(services.storage, asset)).chunks])


async def count(services: Services) -> int:
    async with services.database.transaction() as tx:
        row = await (await tx.execute("SELECT count(*) FROM named_files")).fetchone()
    assert row is not None
    return int(row[0])


def told(name: str, subfolder: str = "", kind: str = "input") -> dict[str, Any]:
    return {"name": name, "subfolder": subfolder, "type": kind}


@pytest.mark.parametrize("path", ["/upload/image", "/api/upload/image"])
async def test_an_upload_answers_with_its_name(
    client: httpx.AsyncClient, services: Services, tenant: Tenant, path: str
) -> None:
    answer = await upload(client, "u.png", path=path)

    assert (answer.status_code, answer.json()) == (200, told("u.png"))
    assert await stored(services, tenant.account_id, "u.png") == PNG


async def test_names_collide_as_in_the_recording(client: httpx.AsyncClient) -> None:
    """j_http_surface: the same content, other content, overwrite true, 1 and false."""
    other = png(color=(1, 2, 3))
    answers = [
        await upload(client, "u.png"),
        await upload(client, "u.png"),
        await upload(client, "u.png", other),
        await upload(client, "u.png", other, overwrite="true"),
        await upload(client, "u.png", overwrite="1"),
        await upload(client, "u.png", overwrite="false"),
        await upload(client, "u.png", type="input", subfolder="a/b"),
        await upload(client, "u.png", type="temp"),
        await upload(client, "u.png", type="output"),
    ]

    assert [answer.json() for answer in answers] == [
        told("u.png"),
        told("u.png"),
        told("u (1).png"),
        told("u.png"),
        told("u.png"),
        told("u.png"),
        told("u.png", "a/b"),
        told("u.png", kind="temp"),
        told("u.png", kind="output"),
    ]


async def test_the_parts_may_come_in_any_order(
    client: httpx.AsyncClient, services: Services, tenant: Tenant
) -> None:
    await upload(client, "u.png", b"old")

    first = await post(
        client,
        ('name="image"; filename="u.png"', b"new"),
        ('name="subfolder"', b"s"),
        ('name="type"', b"temp"),
        ('name="other"', b"x" * 100_000),
    )
    last = await post(client, ('name="overwrite"', b"true"), ('name="image"; filename="u.png"', b"new"))

    assert first.json() == told("u.png", "s", "temp")
    assert last.json() == told("u.png")
    assert await stored(services, tenant.account_id, "u.png") == b"new"


async def test_of_two_files_the_first_is_kept(
    client: httpx.AsyncClient, services: Services, tenant: Tenant
) -> None:
    answer = await post(
        client, ('name="image"; filename="two.png"', b"first"), ('name="image"; filename="b.png"', b"second")
    )

    assert answer.json() == told("two.png")
    assert await stored(services, tenant.account_id, "two.png") == b"first"
    assert await stored(services, tenant.account_id, "b.png") is None


ODD = {
    "sp ace ü.png": "sp ace ü.png",
    ".hidden.png": ".hidden.png",
    "a\\b.png": "ab.png",
    "s%2Fub.png": "s%2Fub.png",
    "sp%20ace%20%C3%BC%20%22.png": "sp%20ace%20%C3%BC%20%22.png",
    "noextension": "noextension",
    "图片 (1).png": "图片 (1).png",
}


async def test_odd_names_stay_as_they_came(client: httpx.AsyncClient) -> None:
    """j3_raw_uploads and j_http_surface; what some clients percent-encode stays encoded."""
    answers = [await post(client, (f'name="image"; filename="{sent}"', PNG)) for sent in ODD]
    shown = [await client.get("/view", params={"filename": name, "type": "input"}) for name in ODD.values()]

    assert [answer.json() for answer in answers] == [told(name) for name in ODD.values()]
    assert [answer.content for answer in shown] == [PNG] * len(ODD)


NAMES = [
    "",
    ".",
    "..",
    "...",
    "../../x.png",
    "..\\..\\x.png",
    "/srv/abs.png",
    "\\\\server\\share\\x.png",
    "C:x.png",
    "s/ub.png",
    "..%2F..%2Fx.png",
    "%2e%2e%2fx.png",
    "%252e%252e%252fx.png",
    "%2Fetc%2Fpasswd",
    "\uff0e\uff0e\uff0fx.png",
    "x.png.",
    "x.png ",
    "x\0.png",
    "x\x1b.png",
    "x\u202egnp.exe",
    "x.png [output]",
    "x.png[INPUT]",
    "n" * 256,
    "ü" * 200,
]

SUBFOLDERS = [
    "../../etc",
    "/etc",
    "..",
    "a/../../b",
    "..\\b",
    "C:\\b",
    "%2e%2e/b",
    "a/%252e%252e/../b/%252e%252e/..%2f..",
    "a\0b",
    "a./b",
    "a /b",
    "d" * 256,
    "/".join(["d" * 200] * 6),
]


async def test_a_name_that_leads_elsewhere_is_refused_and_nothing_is_kept(
    client: httpx.AsyncClient, services: Services
) -> None:
    names = {name: await post(client, (f'name="image"; filename="{name}"', PNG)) for name in NAMES}
    subfolders = {
        subfolder: await post(
            client, ('name="image"; filename="x.png"', PNG), ('name="subfolder"', subfolder.encode())
        )
        for subfolder in SUBFOLDERS
    }

    assert {name: answer.status_code for name, answer in names.items()} == dict.fromkeys(NAMES, 400)
    assert {name: answer.status_code for name, answer in subfolders.items()} == dict.fromkeys(SUBFOLDERS, 400)
    assert await count(services) == 0


async def test_a_subfolder_is_answered_plainly(client: httpx.AsyncClient) -> None:
    subfolders = ["a//b/", "./a", "a/../b", "a\\b", "."]

    answers = [(await upload(client, "x.png", subfolder=subfolder)).json() for subfolder in subfolders]

    assert [answer["subfolder"] for answer in answers] == ["a/b", "a", "b", "a/b", ""]


FORMS: list[list[tuple[str, bytes]]] = [
    [('name="foo"', b"bar")],
    [('name="image"', b"notafile")],
    [('name="image"; filename=""', PNG)],
    [('name="file"; filename="x.png"', PNG)],
    [('name="image"; filename="x.png"', PNG), ('name="type"', b"bogus")],
    [('name="image"; filename="x.png"', PNG), ('name="type"', b"")],
    [],
]


async def test_a_form_without_a_file_or_with_an_unknown_folder_is_400(
    client: httpx.AsyncClient, services: Services
) -> None:
    answers = [await post(client, *parts) for parts in FORMS]

    assert [answer.status_code for answer in answers] == [400] * len(FORMS)
    assert await count(services) == 0


async def test_what_is_no_form_is_400(client: httpx.AsyncClient) -> None:
    kinds = ["application/octet-stream", "application/json", "multipart/form-data", ""]

    answers = [
        await client.post("/upload/image", content=b"raw", headers={"Content-Type": kind}) for kind in kinds
    ]

    assert [answer.status_code for answer in answers] == [400] * len(kinds)


async def test_accounts_have_names_of_their_own(
    client: httpx.AsyncClient, other: httpx.AsyncClient, services: Services, tenant: Tenant, stranger: Tenant
) -> None:
    mine, theirs = await asyncio.gather(upload(client, "x.png", b"mine"), upload(other, "x.png", b"theirs"))

    assert mine.json() == theirs.json() == told("x.png")
    assert await stored(services, tenant.account_id, "x.png") == b"mine"
    assert await stored(services, stranger.account_id, "x.png") == b"theirs"


async def test_parallel_uploads_of_one_name_are_files_of_their_own(client: httpx.AsyncClient) -> None:
    contents = [b"%d" % number for number in range(8)]

    answers = await asyncio.gather(*(upload(client, "x.png", content) for content in contents))

    names = [answer.json()["name"] for answer in answers]
    shown = [await client.get("/view", params={"filename": name, "type": "input"}) for name in names]
    assert len(set(names)) == 8
    assert [answer.content for answer in shown] == contents


async def test_nobody_uploads_without_a_key(nobody: httpx.AsyncClient) -> None:
    assert (await upload(nobody, "x.png")).status_code == 401
