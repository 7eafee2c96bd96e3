"""Bodies of any size cost the API no memory: refused when they are over the limit, streamed when they are not."""

from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from pathlib import Path

import blake3
import httpx
import pytest

from atelier.kit.database import Database
from conformance.apart import Apart, api_alone

MEGABYTE = 1_000_000
BODY = 300 * MEGABYTE
PIECE = bytes(range(256)) * 4096
FLAT = 48 * MEGABYTE
BOUNDARY = "the-boundary"
FORM = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}
OPENING = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="a.bin"\r\n\r\n'.encode()
CLOSING = f"\r\n--{BOUNDARY}--\r\n".encode()
JSON = {"Content-Type": "application/json"}

TOO_LARGE = (413, "payload_too_large")

CASES = {
    "an upload that says its size": ("/api/v2/assets", OPENING, {**FORM, "Content-Length": str(BODY)}, TOO_LARGE),
    "an upload that does not": ("/api/v2/assets", OPENING, FORM, TOO_LARGE),
    "a job that says its size": (
        "/api/v2/jobs",
        b'{"workflow": "',
        {**JSON, "Content-Length": str(BODY)},
        TOO_LARGE,
    ),
    "a job that does not": ("/api/v2/jobs", b'{"workflow": "', JSON, TOO_LARGE),
    "a hash that does not": ("/api/v2/assets/from-hash", b'{"hash": "', JSON, TOO_LARGE),
    "an endless header of a form": (
        "/api/v2/assets",
        f"--{BOUNDARY}\r\nX-Long: ".encode(),
        FORM,
        (400, "invalid_request"),
    ),
    "an endless field of a form": (
        "/api/v2/assets",
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="file_path"\r\n\r\n'.encode(),
        FORM,
        (422, "invalid_request"),
    ),
}


@pytest.fixture
async def roles(database: Database, database_url: str, tmp_path: Path) -> AsyncGenerator[Apart]:
    async with api_alone(tmp_path, database, database_url) as started:
        yield started


def pieces(size: int) -> Iterator[bytes]:
    for start in range(0, size, len(PIECE)):
        yield PIECE[: min(len(PIECE), size - start)]


async def body(opening: bytes, size: int, closing: bytes = b"") -> AsyncIterator[bytes]:
    yield opening
    for piece in pieces(size - len(opening) - len(closing)):
        yield piece
    yield closing


async def test_a_body_over_the_limit_is_refused_with_flat_memory_and_leaves_nothing(roles: Apart) -> None:
    files = roles.fleet.folder / "state" / "files"
    async with httpx.AsyncClient(base_url=roles.url, headers=roles.headers, timeout=60) as client:
        await client.post("/api/v2/assets", files={"file": b"warm"})
        kept = sorted(files.rglob("*"))
        before = roles.memory()
        seen: dict[str, tuple[int, str]] = {}
        for case, (path, opening, headers, _) in CASES.items():
            answer = await client.post(path, content=body(opening, BODY), headers=headers)
            seen[case] = (answer.status_code, answer.json()["error"]["code"])
        grown = roles.memory() - before
        alive = await client.get("/api/v2/jobs")

    assert seen == {case: refused for case, (_, _, _, refused) in CASES.items()}
    assert grown < FLAT
    assert sorted(files.rglob("*")) == kept
    assert alive.json()["jobs"] == []


async def test_a_file_up_to_the_limit_goes_in_and_out_with_flat_memory(roles: Apart) -> None:
    size = 95 * MEGABYTE
    digest = blake3.blake3()
    for piece in pieces(size - len(OPENING) - len(CLOSING)):
        digest.update(piece)
    async with httpx.AsyncClient(base_url=roles.url, headers=roles.headers, timeout=60) as client:
        await client.post("/api/v2/assets", files={"file": b"warm"})
        before = roles.memory()

        sent = await client.post("/api/v2/assets", content=body(OPENING, size, CLOSING), headers=FORM)
        got = blake3.blake3()
        async with client.stream("GET", f"/api/v2/assets/{sent.json()['id']}/content") as answer:
            async for piece in answer.aiter_bytes():
                got.update(piece)
        grown = roles.memory() - before

    assert sent.status_code == 201
    assert sent.json()["hash"] == f"blake3:{digest.hexdigest()}"
    assert got.digest() == digest.digest()
    assert grown < FLAT
