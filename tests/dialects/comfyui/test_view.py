"""/view answers by name with the caller's own files, whole, in part, smaller or by channel (wire contract 9)."""

import email.utils

import httpx
import pytest

from atelier.dialects.comfyui.view import disposition
from atelier.dialects.services import Services
from atelier.kit import clock
from support.pictures import opened, png
from support.produced import produce
from support.serving import Tenant

PNG = png()
CLEAR = png(color=(10, 20, 30, 128))


async def put(client: httpx.AsyncClient, name: str, content: bytes = PNG, **fields: str) -> None:
    answer = await client.post("/upload/image", files={"image": (name, content)}, data=fields)
    assert answer.status_code == 200


async def view(client: httpx.AsyncClient, filename: str, kind: str = "input", **more: str) -> httpx.Response:
    return await client.get("/view", params={"filename": filename, "type": kind, **more})


@pytest.mark.parametrize("path", ["/view", "/api/view"])
async def test_a_file_is_answered_with_all_that_clients_cache_by(client: httpx.AsyncClient, path: str) -> None:
    await put(client, "u.png")

    answer = await client.get(path, params={"filename": "u.png", "type": "input", "rand": "0.5", "t": "7"})

    assert (answer.status_code, answer.content) == (200, PNG)
    assert answer.headers["Content-Type"] == "image/png"
    assert answer.headers["Content-Disposition"] == 'filename="u.png"'
    assert answer.headers["Accept-Ranges"] == "bytes"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Cache-Control"] == "private, no-cache"
    assert answer.headers["Content-Length"] == str(len(PNG))
    assert answer.headers["ETag"].startswith('"')
    assert email.utils.parsedate_to_datetime(answer.headers["Last-Modified"]) <= clock.utcnow()


async def test_what_a_job_made_is_shown_by_its_shown_name(
    client: httpx.AsyncClient, other: httpx.AsyncClient, services: Services, tenant: Tenant
) -> None:
    made = [
        await produce(
            services.database, services.storage, tenant.account_id, "x_00001_.png", body, subfolder=subfolder
        )
        for body, subfolder in ((b"one", ""), (b"two", ""), (b"three", "sea/side"))
    ]
    passing = await produce(
        services.database, services.storage, tenant.account_id, "t_00001_.png", b"passing", temporary=True
    )

    answers = [
        await client.get("/view", params={"filename": made[0]}),
        await view(client, made[1], "output", subfolder=""),
        await view(client, made[2], "output", subfolder="sea/side"),
        await view(client, passing, "temp"),
    ]

    assert [answer.content for answer in answers] == [b"one", b"two", b"three", b"passing"]
    assert answers[0].headers["Cache-Control"] == "private, max-age=86400"
    assert (await view(client, made[2], "output")).status_code == 404
    assert (await view(client, passing, "output")).status_code == 404
    assert (await view(other, made[0], "output")).status_code == 404


async def test_the_annotation_goes_before_the_type(client: httpx.AsyncClient) -> None:
    await put(client, "u.png", b"input")
    await put(client, "u.png", b"temp", type="temp")

    assert (await view(client, "u.png [temp]", "input")).content == b"temp"
    assert (await view(client, "u.png [input]", "bogus")).content == b"input"
    assert (await view(client, "u.png [output]", "input")).status_code == 404


STATUSES = {
    "": 404,
    "?type=input": 404,
    "?filename=": 400,
    "?filename=%20[input]": 400,
    "?filename=nope.png&type=input": 404,
    "?filename=u.png": 404,
    "?filename=u.png&type=bogus": 400,
    "?filename=u.png&type=INPUT": 400,
    "?filename=../u.png&type=input": 400,
    "?filename=..%2f..%2fetc%2fpasswd": 400,
    "?filename=%2e%2e%2fu.png&type=input": 400,
    "?filename=%252e%252e%252fu.png&type=input": 404,
    "?filename=..%5Cu.png&type=input": 400,
    "?filename=a..png&type=input": 400,
    "?filename=/etc/passwd&type=input": 400,
    "?filename=%2Fetc%2Fpasswd&type=input": 400,
    "?filename=%5C%5Cserver%5Cshare%5Cu.png&type=input": 400,
    "?filename=C:%5Cu.png&type=input": 400,
    "?filename=u.png%00.txt&type=input": 400,
    "?filename=u.png%00&type=input": 400,
    "?filename=%FF%FE&type=input": 404,
    "?filename=" + "n" * 2000 + "&type=input": 404,
    "?filename=u.png.&type=input": 404,
    "?filename=U.PNG&type=input": 404,
    "?filename=%EF%BC%8E%EF%BC%8E%EF%BC%8Fu.png&type=input": 404,
    "?filename=u.png&type=input&subfolder=..": 403,
    "?filename=passwd&type=input&subfolder=../../../../etc": 403,
    "?filename=passwd&type=input&subfolder=/etc": 403,
    "?filename=passwd&type=input&subfolder=%2Fetc": 403,
    "?filename=passwd&type=input&subfolder=a/../../etc": 403,
    "?filename=passwd&type=input&subfolder=..%5C..": 403,
    "?filename=passwd&type=input&subfolder=C:%5C": 403,
    "?filename=passwd&type=input&subfolder=%00": 403,
    "?filename=passwd&type=input&subfolder=%252e%252e": 404,
    "?filename=u.png&type=input&subfolder=a": 404,
    "?filename=b/u.png&type=input&subfolder=a": 404,
    "?filename=blake3:" + "0" * 64: 404,
    "?filename=u.png&type=input&subfolder=": 200,
    "?filename=u.png&type=input&subfolder=a/..": 200,
    "?filename=b/u.png&type=input": 200,
    "?filename=u.png&filename=nope.png&type=input": 200,
}


async def test_statuses_are_those_of_the_contract(client: httpx.AsyncClient) -> None:
    await put(client, "u.png")

    answers = {query: await client.get(f"/view{query}") for query in STATUSES}

    assert {query: answer.status_code for query, answer in answers.items()} == STATUSES
    assert {answer.content for answer in answers.values()} == {PNG, b""}


async def test_who_has_it_gets_304(client: httpx.AsyncClient) -> None:
    await put(client, "u.png")
    first = await view(client, "u.png")
    etag = first.headers["ETag"]

    answers = [
        await client.get("/view", params={"filename": "u.png", "type": "input"}, headers=headers)
        for headers in (
            {"If-None-Match": etag},
            {"If-None-Match": f'W/{etag}, "other"'},
            {"If-None-Match": "*"},
            {"If-Modified-Since": first.headers["Last-Modified"]},
        )
    ]

    assert [(answer.status_code, answer.content, answer.headers["ETag"]) for answer in answers] == [
        (304, b"", etag)
    ] * 4


async def test_an_overwritten_file_is_not_taken_for_the_old_one(client: httpx.AsyncClient) -> None:
    await put(client, "u.png", b"old")
    first = await view(client, "u.png")
    await put(client, "u.png", b"new", overwrite="true")

    answer = await client.get(
        "/view",
        params={"filename": "u.png", "type": "input"},
        headers={"If-None-Match": first.headers["ETag"], "If-Modified-Since": first.headers["Last-Modified"]},
    )

    assert (answer.status_code, answer.content) == (200, b"new")


async def test_a_part_of_a_file(client: httpx.AsyncClient) -> None:
    await put(client, "u.png")
    first = await view(client, "u.png")

    async def part(**headers: str) -> httpx.Response:
        told = {name.replace("_", "-"): value for name, value in headers.items()}
        return await client.get("/view", params={"filename": "u.png", "type": "input"}, headers=told)

    some, rest = await part(Range="bytes=0-9"), await part(Range="bytes=10-")
    beyond = await part(Range="bytes=99999-")
    same = await part(Range="bytes=0-9", If_Range=first.headers["ETag"])
    changed = await part(Range="bytes=0-9", If_Range='"other"')

    assert (some.status_code, some.content + rest.content) == (206, PNG)
    assert some.headers["Content-Range"] == f"bytes 0-9/{len(PNG)}"
    assert (beyond.status_code, beyond.content) == (416, b"")
    assert beyond.headers["Content-Range"] == f"bytes */{len(PNG)}"
    assert (same.status_code, changed.status_code) == (206, 200)


async def test_head_says_the_same_without_the_bytes(client: httpx.AsyncClient) -> None:
    await put(client, "u.png")

    for query in ({}, {"preview": "webp"}):
        params = {"filename": "u.png", "type": "input", **query}
        got, head = await client.get("/view", params=params), await client.head("/view", params=params)

        assert (head.status_code, head.content) == (200, b"")
        for name in ("Content-Length", "Content-Type", "ETag", "Content-Disposition"):
            assert head.headers[name] == got.headers[name]
    assert (await client.head("/view", params={"filename": "nope"})).status_code == 404


async def test_what_a_browser_would_run_is_only_to_be_saved(client: httpx.AsyncClient) -> None:
    for name in ("e.html", "e.htm", "e.xhtml", "e.js", "e.css", "e.svg", "e.xml", "e.HTML"):
        await put(client, name, b"<script>1</script>")

        answer = await view(client, name)

        assert (answer.status_code, answer.content) == (200, b"<script>1</script>")
        assert answer.headers["Content-Type"] == "application/octet-stream"
        assert answer.headers["Content-Disposition"] == f'attachment; filename="{name}"'
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert "sandbox" in answer.headers["Content-Security-Policy"]


async def test_the_type_is_said_by_the_name_and_else_by_the_bytes(client: httpx.AsyncClient) -> None:
    for name, content in (("x.txt", b"text"), ("m.mp4", b"\0\0"), ("nameless", PNG), ("odd.zzz", b"\0\1")):
        await put(client, name, content)

    kinds = [
        (await view(client, name)).headers["Content-Type"] for name in ("x.txt", "m.mp4", "nameless", "odd.zzz")
    ]

    assert [kind.partition(";")[0] for kind in kinds] == [
        "text/plain",
        "video/mp4",
        "image/png",
        "application/octet-stream",
    ]


@pytest.mark.parametrize(
    ("name", "header"),
    [
        ("x.png", 'filename="x.png"'),
        ('x";a="b\\.png', "filename=\"x_;a=_b_.png\"; filename*=UTF-8''x%22%3Ba%3D%22b%5C.png"),
        (
            "ü\r\nSet-Cookie: a=b.png",
            "filename=\"___Set-Cookie: a=b.png\"; filename*=UTF-8''%C3%BC%0D%0ASet-Cookie%3A%20a%3Db.png",
        ),
    ],
)
def test_any_name_fits_into_a_header(name: str, header: str) -> None:
    assert disposition(name, attached=False) == header


# Copies ----------------------------------------------------------------------------------------


COPIES: list[tuple[dict[str, str], str, str]] = [
    ({"preview": "webp;90"}, "image/webp", "RGBA"),
    ({"preview": "webp"}, "image/webp", "RGBA"),
    ({"preview": "jpeg;50"}, "image/jpeg", "RGB"),
    ({"preview": "png;50"}, "image/webp", "RGBA"),
    ({"preview": ""}, "image/webp", "RGBA"),
    ({"preview": "webp;99999"}, "image/webp", "RGBA"),
    ({"preview": "jpeg;-1"}, "image/jpeg", "RGB"),
    ({"preview": "jpeg;50", "channel": "rgb"}, "image/jpeg", "RGB"),
    ({"preview": "jpeg;50", "channel": "rgba"}, "image/webp", "RGBA"),
    ({"preview": "webp", "channel": "rgb"}, "image/webp", "RGB"),
    ({"channel": "rgb"}, "image/png", "RGB"),
    ({"channel": "a"}, "image/png", "RGBA"),
]


async def test_copies_are_of_the_kind_that_was_asked_for(client: httpx.AsyncClient) -> None:
    await put(client, "u.png", CLEAR)

    for query, kind, mode in COPIES:
        answer = await view(client, "u.png", **query)

        image = opened(answer.content)
        assert (answer.status_code, answer.headers["Content-Type"], image.mode) == (200, kind, mode), query
        assert image.size == (4, 3)
        assert answer.headers["Content-Disposition"] == 'filename="u.png"'


async def test_the_channels_are_the_pictures_own(client: httpx.AsyncClient) -> None:
    await put(client, "clear.png", CLEAR)
    await put(client, "solid.png", PNG)

    async def pixel(name: str, channel: str) -> object:
        return opened((await view(client, name, channel=channel)).content).getpixel((0, 0))

    assert await pixel("clear.png", "rgb") == (10, 20, 30)
    assert await pixel("clear.png", "a") == (0, 0, 0, 128)
    assert await pixel("solid.png", "a") == (0, 0, 0, 255)
    for channel in ("rgba", "zzz", ""):
        assert (await view(client, "clear.png", channel=channel)).content == CLEAR


async def test_a_copy_is_made_once(client: httpx.AsyncClient, services: Services) -> None:
    await put(client, "u.png")
    first = await view(client, "u.png", preview="webp;80")
    folder = services.storage.spool.parent
    for file in folder.rglob("*"):
        if file.is_file():
            file.unlink()

    again = await view(client, "u.png", preview="webp;80")
    held = await client.get(
        "/view",
        params={"filename": "u.png", "type": "input", "preview": "webp;80"},
        headers={"If-None-Match": first.headers["ETag"]},
    )

    assert again.content == first.content
    assert held.status_code == 304
    assert (await view(client, "u.png", preview="webp;81")).status_code == 404
    assert (await view(client, "u.png")).status_code == 404


async def test_what_is_no_picture_has_no_copy(client: httpx.AsyncClient) -> None:
    for content in (b"not an image", PNG[:40], b"", b"%!PS-Adobe-3.0 EPSF-3.0\n"):
        await put(client, "x.png", content, overwrite="1")

        for query in ({"preview": "webp"}, {"channel": "a"}):
            answer = await view(client, "x.png", **query)
            assert (answer.status_code, "picture" in answer.text) == (400, True)
        assert (await view(client, "x.png")).content == content


async def test_nobody_sees_anything_without_a_key(client: httpx.AsyncClient, nobody: httpx.AsyncClient) -> None:
    await put(client, "u.png")

    assert (await view(nobody, "u.png")).status_code == 401
