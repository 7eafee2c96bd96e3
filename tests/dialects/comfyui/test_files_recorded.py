"""Uploads and views are answered as the recorded ComfyUI answered them, but for what is listed here."""

import base64
import json
from typing import Any

import aiohttp
import pytest
from PIL import Image
from yarl import URL

from support.pictures import opened
from support.replay import recording
from support.serving import Tenant

HEADERS = ("Content-Type", "Content-Disposition", "Content-Range", "Accept-Ranges", "Content-Length")

BAD_FORM = (500, 400)
DIFFERENCES: dict[str, dict[str, tuple[int, int]]] = {
    "j_http_surface": {
        "an unknown type": BAD_FORM,
        "a text as image": BAD_FORM,
        "a mask without original_ref": BAD_FORM,
        "an original_ref that is not JSON": BAD_FORM,
        "a name that leads out when it is decoded": (200, 400),
        "a copy of what is no picture": BAD_FORM,
        "GET of an upload": (404, 405),
    },
    "j3_raw_uploads": {
        "a name in a folder": BAD_FORM,
        "an absolute name": BAD_FORM,
        "no name": BAD_FORM,
    },
}
"""What the real server answered, and we; its 500 are mistakes of its client."""


async def send(session: aiohttp.ClientSession, base: str, request: dict[str, Any]) -> tuple[int, Any, bytes]:
    """The status, the headers and the body of the answer."""
    data: Any = None
    headers = dict(request.get("headers") or {})
    if "multipart" in request:
        data = aiohttp.FormData()
        for part in request["multipart"]:
            content = base64.b64decode(part["b64"]) if "b64" in part else part["value"]
            data.add_field(part["name"], content, filename=part["filename"], content_type=part["content_type"])
    elif isinstance(request.get("body"), dict) and "b64" in request["body"]:
        data = base64.b64decode(request["body"]["b64"])
    elif request.get("body"):
        data = str(request["body"])
    url = URL(base + request["path"].replace(" ", "%20"), encoded=True)
    async with session.request(request["method"], url, data=data, headers=headers) as answer:
        return answer.status, answer.headers, await answer.read()


def kind_of(request: dict[str, Any], recorded: int) -> str:
    """Which of the differences this is; the empty text for none."""
    path, parts = request["path"], {part["name"]: part for part in request.get("multipart", ())}
    name = str(parts.get("image", {}).get("filename"))
    raw = (
        base64.b64decode(request["body"]["b64"])
        if recorded == 500 and not parts and request["method"] == "POST"
        else b""
    )
    told = {
        "GET of an upload": path == "/upload/image" and request["method"] == "GET",
        "an unknown type": parts.get("type", {}).get("value") == "bogus",
        "a text as image": "image" in parts and parts["image"]["filename"] is None,
        "a mask without original_ref": path == "/upload/mask" and "original_ref" not in parts,
        "an original_ref that is not JSON": parts.get("original_ref", {}).get("value") == "{bad",
        "a name that leads out when it is decoded": name.startswith("../"),
        "a copy of what is no picture": "x.txt" in path and "preview" in path,
        "a name in a folder": b'"s/ub.png"' in raw,
        "an absolute name": b'"/tmp/abs.png"' in raw,
        "no name": b'filename=""' in raw,
    }
    return next((kind for kind, true in told.items() if true), "")


@pytest.mark.parametrize("name", ["j_http_surface", "j3_raw_uploads"])
async def test_files_are_answered_as_recorded(base: str, tenant: Tenant, name: str) -> None:
    events = [event for event in recording(name) if event["kind"] == "http"]
    pairs = [
        (request, answer)
        for request, answer in zip(events[::2], events[1::2], strict=True)
        if request["path"].split("?")[0].removeprefix("/api") in {"/view", "/upload/image", "/upload/mask"}
    ]
    different: dict[str, tuple[int, int]] = {}

    async with aiohttp.ClientSession(headers=tenant.headers) as session:
        for request, recorded in pairs:
            status, headers, body = await send(session, base, request)
            kind = kind_of(request, recorded["status"])
            if kind:
                different[kind] = recorded["status"], status
                continue
            where = f"{request['method']} {request['path']}"
            assert status == recorded["status"], where
            check_headers(where, recorded, headers)
            check_body(where, recorded["body"], body)

    assert different == DIFFERENCES[name]
    assert len(pairs) > 10


def check_headers(where: str, recorded: dict[str, Any], headers: Any) -> None:
    """Those that a client reads; the sizes of copies are their encoder's."""
    for name in HEADERS:
        told = recorded.get("headers", {}).get(name)
        copied = "preview" in where or "channel" in where
        if told is None or (name == "Content-Length" and (copied or recorded["status"] >= 400 or "POST" in where)):
            continue
        said = str(headers.get(name)).removeprefix("attachment; ").partition("; filename*=")[0]
        plain = told.encode("ascii", "replace").decode().replace("?", "_")
        assert said.partition(";")[0] == plain.partition(";")[0], (where, name)


def check_body(where: str, recorded: Any, body: bytes) -> None:
    """JSON and files are the same, copies show the same picture; an upload may be refused in words."""
    match recorded:
        case {"b64": str() as encoded} if "preview" in where or "channel" in where:
            assert pictured(body) == pictured(base64.b64decode(encoded)), where
        case {"b64": str() as encoded}:
            assert body == base64.b64decode(encoded), where
        case {}:
            assert json.loads(body) == recorded, where
        case "" if where.startswith("POST") and body:
            assert json.loads(body)["error"]["type"] == "invalid_request", where
        case _:
            assert body.decode() == recorded, where


def pictured(content: bytes) -> tuple[str | None, str, tuple[int, int], int]:
    """Of what kind it is and how bright, to a sixteenth."""
    image: Image.Image = opened(content)
    gray = image.convert("L").resize((1, 1)).tobytes()
    return image.format, image.mode, image.size, gray[0] // 16
