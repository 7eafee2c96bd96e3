"""A file of the editor becomes a product of a whole Atelier, which both of its servers can run."""

import json
import urllib.request
from collections.abc import Generator
from typing import Any

import pytest

from conformance.installation import Installation, throwaway
from workflows.converting.drawing_board import Board
from workflows.converting.made_graphs import IMAGE_OUT, saved

pytestmark = pytest.mark.timeout(240)


@pytest.fixture(scope="module")
def atelier() -> Generator[Installation]:
    with throwaway("bringing") as started:
        yield started


def asked(atelier: Installation, method: str, path: str, body: Any = None) -> Any:
    request = urllib.request.Request(f"{atelier.url}{path}", method=method)  # noqa: S310 - our own address
    request.add_header("Authorization", f"Bearer {atelier.key}")
    request.add_header("Content-Type", "application/json")
    data = json.dumps(body).encode() if body is not None else None
    with urllib.request.urlopen(request, data, timeout=130) as answer:  # noqa: S310
        return json.load(answer)


def export() -> dict[str, Any]:
    board = Board()
    image = board.node("EmptyImage", [64, 48, 1, 255], {"color": ("INT", "color")}, IMAGE_OUT)
    invert = board.node("ImageInvert", None, {"image": "IMAGE"}, IMAGE_OUT, mode=4)
    board.wire(image, 0, invert, "image", kind="IMAGE")
    saved(board, invert)
    return board.file()


def test_it_is_listed_described_run_versioned_and_rolled_back(atelier: Installation) -> None:
    url = "/api/v1/workflows"
    draft = asked(atelier, "POST", f"{url}/import", {"workflow": export(), "id": "plain"})
    colour = {"type": "int", "default": 255, "min": 0, "max": 16777215, "bind": {"node": "1", "input": "color"}}
    manifest = draft["manifest"] | {"parameters": {"colour": colour}}
    asked(atelier, "PUT", f"{url}/plain/draft", {"manifest": manifest})
    asked(atelier, "POST", f"{url}/plain/publish", {})
    asked(atelier, "PUT", f"{url}/plain/draft", {"manifest": manifest | {"price": 2}})
    asked(atelier, "POST", f"{url}/plain/publish", {})

    made = [
        asked(atelier, "POST", "/api/v1/generate?wait=120", {"workflow_id": "plain", "params": {"colour": number}})
        for number in range(4)
    ]
    rolled = asked(atelier, "POST", f"{url}/plain/rollback", {"revision": 1})

    assert [(one["status"], len(one["outputs"])) for one in made] == [("succeeded", 1)] * 4
    assert rolled["revision"] == 1
    assert "plain" in {one["id"] for one in asked(atelier, "GET", url)["workflows"]}
    detail = asked(atelier, "GET", f"{url}/plain")
    assert detail["parameters_schema"]["properties"]["colour"]["maximum"] == 16777215
    assert detail["able"] == 2
    assert f"{url}/import" in asked(atelier, "GET", "/openapi.json")["paths"]
