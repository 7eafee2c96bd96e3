"""Settings and files of the editor, as a single-user ComfyUI has them; each account is that user."""

import asyncio
import dataclasses
from collections.abc import AsyncGenerator

import aiohttp
import httpx
import pytest
from yarl import URL

from atelier.dialects.app import create_app
from atelier.dialects.services import Services
from atelier.userdata import service as userdata
from support.serving import Tenant, served


async def put(client: httpx.AsyncClient, path: str, content: bytes = b"{}", query: str = "") -> httpx.Response:
    return await client.post(f"/userdata/{path}{query}", content=content)


@pytest.fixture
async def small(services: Services, tenant: Tenant) -> AsyncGenerator[httpx.AsyncClient]:
    """An account that may keep three files of a thousand bytes."""
    strict = dataclasses.replace(services, user_file_limit=1000, user_files_most=3)
    async with served(create_app(strict)) as url, httpx.AsyncClient(base_url=url, headers=tenant.headers) as made:
        yield made


async def test_an_account_is_the_one_user_of_its_server(client: httpx.AsyncClient) -> None:
    users = await client.get("/users")
    refused = await client.post("/users", json={"username": "me"})

    assert users.json() == {"storage": "server", "migrated": True}
    assert refused.status_code == 400
    assert "error" in refused.json()


async def test_settings_are_merged_and_read_one_by_one(client: httpx.AsyncClient) -> None:
    assert (await client.get("/settings")).json() == {}

    merged = await client.post("/settings", json={"Comfy.Test": 1, "Comfy.B": {"z": 1, "a": [None, 2.5]}})
    single = await client.post("/api/settings/Comfy.Test2", json=[1, 2])
    await client.post("/settings", json={"Comfy.Test": "two"})

    assert (merged.status_code, merged.content) == (200, b"")
    assert (single.status_code, single.content) == (200, b"")
    whole = await client.get("/api/settings")
    assert whole.json() == {"Comfy.Test": "two", "Comfy.Test2": [1, 2], "Comfy.B": {"z": 1, "a": [None, 2.5]}}
    assert list(whole.json()["Comfy.B"]) == ["z", "a"]
    assert (await client.get("/settings/Comfy.Test2")).json() == [1, 2]
    unknown = await client.get("/settings/Comfy.Unknown")
    assert (unknown.status_code, unknown.text) == (200, "null")


@pytest.mark.parametrize("value", [b"null", b"true", b"0", b'""', b'"\\u00e9\xf0\x9f\x98\x80"', b"[[]]", b"1e300"])
async def test_a_setting_is_any_json_whatever_its_type_is_called(client: httpx.AsyncClient, value: bytes) -> None:
    form = {"Content-Type": "application/x-www-form-urlencoded"}

    stored = await client.post("/settings/a%2Fb.c", content=value, headers=form)

    assert stored.status_code == 200
    assert (await client.get("/settings/a%2Fb.c")).json() == httpx.Response(200, content=value).json()


@pytest.mark.parametrize("body", [b"", b"{", b"NaN", b'"\\u0000"', b'"\\ud800"', b"\xff", b"[" * 100_000])
async def test_what_is_no_json_changes_no_setting(client: httpx.AsyncClient, body: bytes) -> None:
    single = await client.post("/settings/a", content=body)
    whole = await client.post("/settings", content=body)

    assert (single.status_code, whole.status_code) == (400, 400)
    assert (await client.get("/settings")).json() == {}


async def test_settings_are_bounded(client: httpx.AsyncClient) -> None:
    long = await client.post("/settings", json={"k" * 600: 1})
    big = await client.post("/settings", json={"a": "x" * 300_000})
    many = await client.post("/settings", json={f"k{number}": 1 for number in range(userdata.MOST_SETTINGS + 1)})

    assert long.status_code == 400
    assert big.status_code == 413
    assert many.status_code == 400
    assert (await client.get("/settings")).json() == {}


async def test_all_settings_together_are_bounded(client: httpx.AsyncClient, services: Services) -> None:
    await client.post("/settings/a", json="x")
    async with services.database.autocommit() as tx:
        await tx.execute("UPDATE user_settings SET value = to_json(repeat('x', 9900000))")

    fits = await client.post("/settings/b", json="x" * 50_000)
    over = await client.post("/settings/c", json="x" * 50_000)

    assert [fits.status_code, over.status_code] == [200, 400]
    assert (await client.get("/settings/c")).json() is None


async def test_a_setting_is_not_deeper_than_anybody_can_read(client: httpx.AsyncClient) -> None:
    depths = (101, 900, *range(940, 975), 5_000)

    deep = [await client.post("/settings/a", content="[" * depth + "]" * depth) for depth in depths]
    level = await client.post("/settings/a", content="[" * 100 + "]" * 100)

    assert {answer.status_code for answer in deep} == {400}
    assert level.status_code == 200
    assert (await client.get("/settings")).status_code == 200


async def test_a_saved_workflow_is_listed_read_moved_and_deleted(client: httpx.AsyncClient) -> None:
    saved = await put(client, "workflows%2Frec%20one.json", b'{"a":1}', "?overwrite=true&full_info=true")
    again = await put(client, "workflows%2Frec%20one.json", b'{"a":2}', "?overwrite=false")
    read = await client.get("/userdata/workflows%2Frec%20one.json")
    listed = await client.get("/api/userdata?dir=workflows&recurse=true&split=false&full_info=true")
    moved = await client.post("/userdata/workflows%2Frec%20one.json/move/workflows%2Frec3.json?overwrite=false")
    deleted = await client.delete("/userdata/workflows%2Frec3.json")
    gone = await client.delete("/userdata/workflows%2Frec3.json")

    info = saved.json()
    assert saved.status_code == 200
    assert (info["path"], info["size"]) == ("workflows/rec one.json", 7)
    assert isinstance(info["modified"], int)
    assert 1.6e12 < info["modified"] < 1e13
    assert (again.status_code, again.text) == (409, "File already exists")
    assert (read.status_code, read.content) == (200, b'{"a":1}')
    assert listed.json() == [{**info, "path": "rec one.json"}]
    assert (moved.status_code, moved.json()) == (200, "workflows/rec3.json")
    assert (deleted.status_code, deleted.content) == (204, b"")
    assert (gone.status_code, gone.content) == (404, b"")


async def test_a_file_is_saved_again_with_other_content(client: httpx.AsyncClient) -> None:
    first = (await put(client, "a.json", b"one", "?full_info=true")).json()
    second = (await put(client, "a.json", b"twotwo", "?full_info=true")).json()
    read = await client.get("/userdata/a.json")
    same = await client.get("/userdata/a.json", headers={"If-None-Match": read.headers["etag"]})

    assert second["size"] == 6
    assert second["modified"] >= first["modified"]
    assert second["created"] == first["created"]
    assert read.content == b"twotwo"
    assert (same.status_code, same.content) == (304, b"")


async def test_listings_are_of_one_folder_and_hide_dotted_names(client: httpx.AsyncClient) -> None:
    for name in ("w%2Fb.json", "w%2Fa.json", "w%2Fsub%2Fc.json", "w%2F.index.json", "top.json"):
        await put(client, name)

    async def listed(query: str) -> object:
        return (await client.get(f"/userdata?{query}")).json()

    assert await listed("dir=w") == ["a.json", "b.json"]
    assert await listed("dir=w&recurse=true") == ["a.json", "b.json", "sub/c.json"]
    assert await listed("dir=w&recurse=true&split=true") == [
        ["a.json", "a.json"],
        ["b.json", "b.json"],
        ["sub/c.json", "sub", "c.json"],
    ]
    assert await listed("dir=.") == ["top.json"]
    assert (await client.get("/userdata/w%2F.index.json")).status_code == 200


async def test_what_cannot_be_listed_is_refused_in_comfyuis_words(client: httpx.AsyncClient) -> None:
    found = {
        query: ((answer := await client.get(f"/userdata{query}")).status_code, answer.text)
        for query in ("", "?dir=", "?dir=none", "?dir=..", "?dir=%2Fetc", "?dir=a%2F..%2F..", "?dir=%252e%252e")
    }
    tree = await client.get("/v2/userdata?path=none")
    out = await client.get("/v2/userdata?path=..%2f..")

    assert found[""] == found["?dir="] == (400, "Directory not provided")
    assert found["?dir=none"] == (404, "Directory not found")
    outside = [found[query] for query in ("?dir=..", "?dir=%2Fetc", "?dir=a%2F..%2F..", "?dir=%252e%252e")]
    assert outside == [(403, "Invalid directory")] * 4
    assert (tree.status_code, tree.text) == (404, "Requested path not found")
    assert out.status_code == 400


async def test_the_tree_has_folders_first(client: httpx.AsyncClient) -> None:
    assert (await client.get("/v2/userdata")).json() == []
    for name in ("w%2Fsub%2Fc.json", "w%2FB.json", "a.json"):
        await put(client, name)

    whole = (await client.get("/api/v2/userdata")).json()
    below = (await client.get("/v2/userdata?path=w")).json()
    not_a_folder = await client.get("/v2/userdata?path=a.json")

    assert [(entry["type"], entry["path"]) for entry in whole] == [
        ("directory", "w/sub"),
        ("directory", "w"),
        ("file", "a.json"),
        ("file", "w/B.json"),
        ("file", "w/sub/c.json"),
    ]
    assert [entry["path"] for entry in below] == ["w/sub", "w/B.json", "w/sub/c.json"]
    assert set(below[1]) == {"name", "path", "type", "size", "modified"}
    assert not_a_folder.status_code == 400


async def test_one_segment_is_one_path_however_often_it_was_encoded(client: httpx.AsyncClient) -> None:
    once = await put(client, "workflows%2Fa.json", b"1")
    twice = await put(client, "workflows%252Fa.json", b"2")
    mixed = await client.get("/comfy/api/userdata/workflows%2fa.json")
    separate = await client.get("/userdata/workflows/a.json")
    posted = await put(client, "workflows/a.json", b"3")

    assert (once.json(), twice.json()) == ("workflows/a.json", "workflows/a.json")
    assert mixed.content == b"2"
    assert separate.status_code == 404
    assert posted.status_code == 405
    assert (await client.get("/userdata/workflows%2Fa.json")).content == b"2"


OUT = (
    "..%2f..%2fcomfyui.db",
    "%2e%2e%2fx",
    "%252e%252e%252fx",
    "%2Fetc%2Fpasswd",
    "C%3A%5Cx",
    "..%5c..%5cx",
    "%5C%5Chost",
)


@pytest.mark.parametrize("name", OUT)
async def test_no_file_is_outside_of_the_accounts_own(client: httpx.AsyncClient, name: str) -> None:
    await put(client, "a.json")

    answers = [
        await client.get(f"/userdata/{name}"),
        await put(client, name),
        await client.delete(f"/userdata/{name}"),
        await client.post(f"/userdata/{name}/move/b.json"),
        await client.post(f"/userdata/a.json/move/{name}"),
    ]

    assert [answer.status_code for answer in answers] == [403, 403, 403, 403, 400]
    assert (await client.get("/userdata?dir=.&recurse=true")).json() == ["a.json"]


@pytest.mark.parametrize("name", ["%00", "a%00.json", "a%0Ab", "x" * 300, "%E2%80%AEgnp.exe", ".", "%2E%2F"])
async def test_names_that_no_file_can_have_are_refused(client: httpx.AsyncClient, base: str, name: str) -> None:
    async with aiohttp.ClientSession() as http:
        address = URL(f"{base}/userdata/{name}", encoded=True)
        async with http.post(address, data=b"x", headers=dict(client.headers)) as answer:
            assert answer.status in {400, 405}


async def test_a_file_is_no_folder_and_a_folder_no_file(client: httpx.AsyncClient) -> None:
    await put(client, "a")
    await put(client, "d%2Ffile")

    assert (await put(client, "a%2Fb")).status_code == 400
    assert (await put(client, "d")).status_code == 400
    assert (await client.post("/userdata/a/move/d")).status_code == 400
    assert (await client.get("/userdata?dir=.&recurse=true")).json() == ["a", "d/file"]


async def test_a_move_overwrites_unless_told_not_to(client: httpx.AsyncClient) -> None:
    await put(client, "a", b"a")
    await put(client, "b", b"b")

    kept = await client.post("/userdata/a/move/b?overwrite=false")
    moved = await client.post("/userdata/a/move/b?full_info=true")
    missing = await client.post("/userdata/a/move/c")
    itself = await client.post("/userdata/b/move/b")

    assert (kept.status_code, kept.text) == (409, "File already exists")
    assert moved.json()["path"] == "b"
    assert (await client.get("/userdata/b")).content == b"a"
    assert (missing.status_code, missing.content) == (404, b"")
    assert itself.status_code == 200


async def test_files_are_to_be_saved_and_run_nothing(client: httpx.AsyncClient) -> None:
    for name in ("x.html", "user.css", "sub%2Fuser.css", "a.svg"):
        await put(client, name, b"<script>alert(1)</script>")

    for name in ("x.html", "sub%2Fuser.css", "a.svg"):
        answer = await client.get(f"/userdata/{name}")

        assert answer.headers["content-disposition"].startswith("attachment")
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "sandbox" in answer.headers["content-security-policy"]
        assert "private" in answer.headers["cache-control"]
    style = await client.get("/userdata/user.css")
    assert style.headers["content-type"].startswith("text/css")
    assert "attachment" not in style.headers["content-disposition"]
    head = await client.head("/userdata/user.css")
    assert (head.status_code, head.content, head.headers["content-length"]) == (200, b"", "25")


async def test_files_and_settings_of_others_are_not_there(
    client: httpx.AsyncClient, other: httpx.AsyncClient
) -> None:
    await put(client, "a.json", b"mine")
    await client.post("/settings", json={"a": 1})

    assert (await other.get("/userdata/a.json")).status_code == 404
    assert (await other.delete("/userdata/a.json")).status_code == 404
    assert (await other.post("/userdata/a.json/move/b.json")).status_code == 404
    assert (await other.get("/userdata?dir=.")).json() == []
    assert (await other.get("/v2/userdata")).json() == []
    assert (await other.get("/settings")).json() == {}
    await put(other, "a.json", b"theirs")
    assert (await client.get("/userdata/a.json")).content == b"mine"


async def test_the_same_content_twice_is_two_files(client: httpx.AsyncClient) -> None:
    await put(client, "a", b"same")
    await put(client, "b", b"same")

    await client.delete("/userdata/a")

    assert (await client.get("/userdata/b")).content == b"same"


async def test_an_empty_file_is_a_file(client: httpx.AsyncClient) -> None:
    stored = await put(client, "empty", b"", "?full_info=true")

    assert stored.json()["size"] == 0
    assert (await client.get("/userdata/empty")).content == b""


async def test_files_are_bounded_in_size_and_number(small: httpx.AsyncClient) -> None:
    large = await put(small, "large", b"x" * 1001)
    statuses = [(await put(small, f"f{number}", b"x" * 1000)).status_code for number in range(4)]
    again = await put(small, "f0", b"y")

    assert large.status_code == 413
    assert statuses == [200, 200, 200, 400]
    assert again.status_code == 200
    assert (await small.get("/userdata?dir=.")).json() == ["f0", "f1", "f2"]


@pytest.mark.parametrize("path", ["/userdata/a", "/settings", "/settings/a", "/prompt", "/login"])
@pytest.mark.parametrize("declared", [True, False])
async def test_a_body_of_ten_gigabytes_is_refused_before_it_is_sent(
    base: str, tenant: Tenant, path: str, *, declared: bool
) -> None:
    host, _, port = base.removeprefix("http://").partition(":")
    length = "Content-Length: 10000000000" if declared else "Transfer-Encoding: chunked"
    head = f"POST {path} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {tenant.key}\r\n{length}\r\n\r\n"
    chunk = b"" if declared else b"%x\r\n" % 1_000_000 + b"x" * 1_000_000 + b"\r\n"
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(head.encode())

    sent = 0
    async with asyncio.timeout(30), asyncio.TaskGroup() as group:
        answer = group.create_task(reader.readline())
        while not answer.done() and sent < 200_000_000:
            writer.write(chunk)
            await writer.drain()
            await asyncio.sleep(0.001)
            sent += len(chunk)
    writer.close()

    assert b" 413 " in answer.result()
    assert sent < 100_000_000


async def test_writers_of_one_file_leave_one_of_their_contents(client: httpx.AsyncClient) -> None:
    contents = [b"%d" % number * 1000 for number in range(8)]

    answers = await asyncio.gather(*(put(client, "a", content) for content in contents))

    assert {answer.status_code for answer in answers} == {200}
    assert (await client.get("/userdata/a")).content in contents
