"""The editor's files below /comfy, before anybody draws a graph in it: tests/browser does that."""

import contextlib
import gzip
from collections.abc import AsyncGenerator, Mapping, Sequence
from pathlib import Path

import httpx
import pytest
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from atelier.dialects.app import create_app
from atelier.dialects.services import Services
from atelier.webui import editor
from support.serving import Tenant, served

SCRIPT = "export const a = 1;\n" * 500


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """What comfyui-frontend-package looks like."""
    folder = tmp_path / "static"
    files = {
        "index.html": "<!doctype html><title>the editor</title>",
        "assets/index-B2rHQ9Sn.js": SCRIPT,
        "assets/favicon.ico": "icon",
        "assets/images/frame_9.png": "progress",
        "scripts/app.js": "// shim",
        "fonts/inter.woff2": "font",
        "assets/draco-B2rHQ9Sn.wasm": "wasm",
        "extensions/core/clipspace.js": "// core",
        "icons.min.css": "a{}",
    }
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content)
    return folder


@contextlib.asynccontextmanager
async def asker(
    services: Services, pages: Sequence[BaseRoute], headers: Mapping[str, str]
) -> AsyncGenerator[httpx.AsyncClient]:
    async with (
        served(create_app(services, pages)) as base,
        httpx.AsyncClient(base_url=base, headers=headers) as made,
    ):
        yield made


@pytest.fixture
async def known(services: Services, tenant: Tenant, package: Path) -> AsyncGenerator[httpx.AsyncClient]:
    async with asker(services, editor.routes(package, ()), tenant.headers) as made:
        yield made


@pytest.fixture
async def nobody(services: Services, package: Path) -> AsyncGenerator[httpx.AsyncClient]:
    async with asker(services, editor.routes(package, ()), {}) as made:
        yield made


async def test_the_editor_is_never_kept_and_its_named_files_for_ever(known: httpx.AsyncClient) -> None:
    index = await known.get("/comfy/")
    named = await known.get("/comfy/assets/index-B2rHQ9Sn.js")
    unnamed = await known.get("/comfy/assets/favicon.ico")

    assert (index.status_code, index.headers["cache-control"]) == (200, "no-store")
    assert "the editor" in index.text
    assert "immutable" in named.headers["cache-control"]
    assert unnamed.headers["cache-control"] == "private, no-cache"


async def test_no_other_site_shows_the_editor_in_a_frame(known: httpx.AsyncClient) -> None:
    index = await known.get("/comfy/")

    assert index.headers["content-security-policy"] == "frame-ancestors 'self'"


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("assets/index-B2rHQ9Sn.js", "text/javascript"),
        ("assets/draco-B2rHQ9Sn.wasm", "application/wasm"),
        ("fonts/inter.woff2", "font/woff2"),
        ("icons.min.css", "text/css"),
        ("extensions/core/clipspace.js", "text/javascript"),
    ],
)
async def test_files_have_the_types_that_browsers_insist_on(
    known: httpx.AsyncClient, path: str, kind: str
) -> None:
    answer = await known.get(f"/comfy/{path}")

    assert answer.status_code == 200
    assert answer.headers["content-type"].split(";")[0] == kind


async def test_scripts_travel_compressed_where_that_is_asked_for(known: httpx.AsyncClient) -> None:
    path = "/comfy/assets/index-B2rHQ9Sn.js"
    plain = await known.get(path, headers={"Accept-Encoding": "identity"})
    async with known.stream("GET", path, headers={"Accept-Encoding": "gzip"}) as answer:
        raw = b"".join([part async for part in answer.aiter_raw()])

    assert plain.text == SCRIPT
    assert "Accept-Encoding" in answer.headers["vary"]
    assert gzip.decompress(raw) == plain.content
    assert len(raw) < len(plain.content) / 4


async def test_a_part_of_a_file_is_that_part(known: httpx.AsyncClient) -> None:
    answer = await known.get("/comfy/assets/index-B2rHQ9Sn.js", headers={"Range": "bytes=0-5"})

    assert (answer.status_code, answer.text) == (206, "export")


async def test_what_the_browser_has_already_is_not_sent_again(known: httpx.AsyncClient) -> None:
    first = await known.get("/comfy/icons.min.css")
    again = await known.get("/comfy/icons.min.css", headers={"If-None-Match": first.headers["etag"]})

    assert (again.status_code, again.content) == (304, b"")


async def test_heads_tell_of_files_without_them(known: httpx.AsyncClient) -> None:
    answer = await known.head("/comfy/fonts/inter.woff2")

    assert (answer.status_code, answer.content, answer.headers["content-length"]) == (200, b"", "4")


@pytest.mark.parametrize("path", ["assets/nothing.js", "assets/..%2f..%2fsecret", "assets/", "scripts", "secret"])
async def test_what_the_package_has_not_is_not_found(known: httpx.AsyncClient, package: Path, path: str) -> None:
    (package.parent / "secret").write_text("secret")

    answer = await known.get(f"/comfy/{path}")

    assert answer.status_code == 404


async def test_a_browser_without_session_is_sent_to_sign_in(nobody: httpx.AsyncClient) -> None:
    answer = await nobody.get("/comfy/", headers={"Accept": "text/html,*/*"})

    assert (answer.status_code, answer.headers["location"]) == (303, "/login?next=/comfy/")


@pytest.mark.parametrize("path", ["", "assets/index-B2rHQ9Sn.js", "scripts/app.js"])
async def test_programs_without_key_are_refused(nobody: httpx.AsyncClient, path: str) -> None:
    answer = await nobody.get(f"/comfy/{path}")

    assert answer.status_code == 401


async def test_icons_are_found_where_the_editor_asks_for_them(nobody: httpx.AsyncClient) -> None:
    found = await nobody.get("/assets/images/frame_9.png")
    script = await nobody.get("/assets/index-B2rHQ9Sn.js")

    assert (found.status_code, found.text) == (200, "progress")
    assert script.status_code == 404


async def test_without_its_last_slash_the_address_leads_to_the_editor(known: httpx.AsyncClient) -> None:
    answer = await known.get("/comfy", follow_redirects=True)

    assert (answer.url.path, answer.status_code) == ("/comfy/", 200)


async def test_the_native_routes_are_found_below_the_editor(
    services: Services, tenant: Tenant, package: Path
) -> None:
    native = [Route("/extensions/pack/{path:path}", lambda _: Response("native"))]
    async with asker(services, editor.routes(package, native), tenant.headers) as known:
        of_a_pack = await known.get("/comfy/extensions/pack/menu.js")
        of_the_api = await known.get("/comfy/api/features")

    assert of_a_pack.text == "native"
    assert "supports_preview_metadata" in of_the_api.json()


async def test_a_new_account_begins_with_a_graph_and_keeps_what_it_changes(known: httpx.AsyncClient) -> None:
    await known.get("/comfy/")
    first = (await known.get("/api/settings")).json()
    await known.post("/api/settings/Comfy.TutorialCompleted", json=False)
    await known.get("/comfy/")

    assert first["Comfy.TutorialCompleted"]
    assert (await known.get("/api/settings/Comfy.TutorialCompleted")).json() is False


@pytest.mark.parametrize(
    ("path", "content"),
    [("user.css", ""), ("templates/index.json", "[]"), ("templates/index.de.json", "[]")],
)
async def test_what_the_editor_may_be_without_is_empty(known: httpx.AsyncClient, path: str, content: str) -> None:
    answer = await known.get(f"/comfy/{path}")

    assert (answer.status_code, answer.text) == (200, content)


async def test_without_the_package_a_page_says_how_to_install_it(services: Services, tenant: Tenant) -> None:
    html = {"Accept": "text/html"}
    async with asker(services, editor.routes(None, ()), {}) as nobody:
        unknown = await nobody.get("/comfy/", headers=html)
        known = await nobody.get("/comfy/", headers=tenant.headers | html)

    assert unknown.headers["location"] == "/login?next=/comfy/"
    assert "pip install 'atelier[editor]'" in known.text
