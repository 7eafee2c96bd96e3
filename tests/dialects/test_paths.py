"""One table says whose a path is: the routes, the refusals and the documentation all follow it."""

from pathlib import Path

import httpx
import pytest
from fastapi.routing import iter_route_contexts

from atelier.dialects.app import create_app
from atelier.dialects.comfy_v2 import api as comfy_v2_api
from atelier.dialects.comfyui import api as native_api
from atelier.dialects.paths import TABLE, Dialect, dialect_of
from atelier.dialects.services import Services
from atelier.webui import pages

DOCS = Path(__file__).resolve().parents[2] / "docs" / "paths.md"

PLAIN = "text/plain; charset=utf-8"


def test_the_documentation_has_the_same_table() -> None:
    lines = [line for line in DOCS.read_text("utf-8").splitlines() if line.startswith("| `")]
    written = [tuple(cell.strip() for cell in line.strip("|").split("|")) for line in lines]

    assert written == [
        (f"`{place.path}{'' if place.exactly else '…'}`", str(place.dialect), place.note) for place in TABLE
    ]


@pytest.mark.parametrize(
    ("path", "dialect"),
    [
        ("/api/v1/jobs", Dialect.OURS),
        ("/api/v2/jobs", Dialect.COMFY_V2),
        ("/api/v2/assets/x/content", Dialect.COMFY_V2),
        ("/api/v2", Dialect.COMFY_V2),
        ("/api/v2/userdata", Dialect.NATIVE),
        ("/api/v2/userdata/x", Dialect.COMFY_V2),
        ("/v2/userdata", Dialect.NATIVE),
        ("/api/v20/x", Dialect.NATIVE),
        ("/api/jobs", Dialect.NATIVE),
        ("/api/queue", Dialect.NATIVE),
        ("/queue", Dialect.NATIVE),
        ("/ws", Dialect.NATIVE),
        ("/healthy", Dialect.NATIVE),
        ("/health/detailed", Dialect.OURS),
        ("/comfy/", Dialect.PAGES),
        ("/comfyui", Dialect.NATIVE),
        ("/login", Dialect.PAGES),
        ("/", Dialect.PAGES),
        ("//", Dialect.NATIVE),
        ("", Dialect.NATIVE),
        ("*", Dialect.NATIVE),
    ],
)
def test_the_first_place_that_has_a_path_says_whose_it_is(path: str, dialect: Dialect) -> None:
    assert dialect_of(path) is dialect


async def test_every_route_lies_where_the_table_says(services: Services) -> None:
    owners = {
        Dialect.NATIVE: native_api.ROUTES,
        Dialect.COMFY_V2: comfy_v2_api.ROUTES,
        Dialect.PAGES: pages.ROUTES,
    }
    wrong = [
        (str(owner), path)
        for owner, routes in owners.items()
        for path in (getattr(route, "path", "") for route in routes)
        if dialect_of(path) is not owner
    ]

    assert wrong == []
    assert len(list(iter_route_contexts(create_app(services).routes))) > 50


async def test_unknown_paths_are_refused_in_the_words_of_their_api(client: httpx.AsyncClient) -> None:
    for path in ("/api/v1/nowhere", "/api/v2/nowhere", "/health/x", "/files"):
        answer = await client.get(path)

        assert (answer.status_code, answer.json()["error"]["code"]) == (404, "not_found"), path
    for path in ("/nowhere", "/api/nowhere", "/api", "/prompt/", "/queue/x/y", "/users/x"):
        answer = await client.get(path)

        assert (answer.status_code, answer.text) == (404, "404: Not Found"), path
        assert answer.headers["content-type"] == PLAIN


async def test_wrong_methods_are_refused_in_the_words_of_their_api(client: httpx.AsyncClient) -> None:
    ours = await client.put("/api/v1/queue")
    native = await client.put("/api/queue")
    unknown = await client.post("/nowhere")

    assert (ours.status_code, ours.json()["error"]["code"]) == (405, "method_not_allowed")
    assert (native.status_code, native.text) == (405, "405: Method Not Allowed")
    assert native.headers["allow"] == "GET, HEAD, POST"
    assert (unknown.status_code, unknown.text) == (405, "405: Method Not Allowed")
    assert unknown.headers["allow"] == "GET, HEAD"


async def test_the_twin_of_the_tree_and_the_assets_of_v2_stand_side_by_side(client: httpx.AsyncClient) -> None:
    tree = await client.get("/api/v2/userdata")
    asset = await client.get("/api/v2/assets/none")

    assert (tree.status_code, tree.json()) == (200, [])
    assert asset.json()["error"]["code"] == "not_found"


async def test_options_is_an_empty_200_on_native_paths(nobody: httpx.AsyncClient) -> None:
    for path in ("/prompt", "/api/queue", "/nowhere"):
        answer = await nobody.options(path)

        assert (answer.status_code, answer.content) == (200, b""), path
        assert "access-control-allow-origin" not in answer.headers


async def test_a_page_of_another_origin_is_turned_away_on_native_paths(
    base: str, client: httpx.AsyncClient
) -> None:
    port = int(base.rpartition(":")[2])
    foreign = (
        {"Origin": "https://evil.example"},
        {"Origin": f"http://127.0.0.1:{port + 1}"},
        {"Origin": f"http://localhost:{port}"},
        {"Sec-Fetch-Site": "cross-site"},
    )
    for said in foreign:
        for method in ("GET", "POST", "OPTIONS"):
            answer = await client.request(method, "/queue", headers=said)

            assert (answer.status_code, answer.content) == (403, b""), said
    for said in (
        {"Origin": base},
        {"Origin": "http://127.0.0.1"},  # as ComfyUI has it: a port counts where both have one
        {"Origin": "null"},
        {"Origin": "https://studio.example.com"},
        {"Origin": "https://evil.example", "Host": "atelier.example.com"},
        {"Sec-Fetch-Site": "same-origin"},
        {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"},
    ):
        assert (await client.get("/queue", headers=said)).status_code == 200, said
    assert (await client.get("/api/v1/queue", headers={"Origin": "https://evil.example"})).status_code == 200
