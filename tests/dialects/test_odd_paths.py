"""No spelling of a path goes around the doors, and none is too odd to be answered."""

import asyncio
from collections.abc import Mapping

import pytest

from support.serving import Tenant

ODD = [
    "//queue",
    "///",
    "/./queue",
    "/../queue",
    "/queue/.",
    "/api/../queue",
    "/api//queue",
    "//api/v2/jobs",
    "/%2e%2e/queue",
    "/%2fqueue",
    "/queue%00",
    "/queue%2f",
    "/queue;a=b",
    "/queue%3fa",
    "/QUEUE",
    "/%71ueue",
    "/health/../api/v1/queue",
    "/files/../queue",
    "/login/../queue",
    "/login/%2e%2e/queue",
    "/openapi.json/queue",
    "/comfy/../queue",
    "/comfy//api/queue",
    "/comfy/comfy/api/queue",
    "/comfy/%2e%2e/queue",
    "/comfy/api/../../queue",
    "/%63omfy/api/queue",
    "/comfy%2fapi%2fqueue",
    "/k",
    "/k/",
    "/k//queue",
    "/k/%00/queue",
    "/k/%/queue",
    "/k/%2e%2e/queue",
    "/k/../queue",
    "/k/a/k/b/k/c/queue",
    "/%6b/x/queue",
    "/k%2fx%2fqueue",
    "/userdata/%00",
    "/userdata/",
    "/userdata//",
    "/api/userdata/a/move/",
    "/settings/%00",
    "/settings/",
    "/history/%00",
    "/api/jobs/%00",
    "/api/jobs?workflow_id=%00&status=%00&limit=%00",
    "/models/%00",
    "/object_info/%00",
    "/view?filename=%00&subfolder=%00&type=%00",
    "/view?filename=a%00.png&subfolder=a%00",
    "/view_metadata/%00?filename=%00",
    "/experiment/models/%00",
    "/experiment/models/preview/%00/0/%00",
    "/extensions/%00/x.js",
    "/internal/files/%00",
    "/global_subgraphs/%00",
    "/api/workflow_templates/%00/%00",
    "/comfy/%00",
    "/comfy/assets/%00",
    "/assets/images/%00",
    "/comfy/assets/..%2f..%2f..%2fetc%2fpasswd",
    "/assets/images/..%2f..%2f..%2fetc%2fpasswd",
    "/userdata?dir=%00",
    "/v2/userdata?path=%00",
    "/login?next=%00",
    "/history?max_items=%00&offset=%00",
    "/history?max_items=99999999999999999999999&offset=-99999999999999999999999",
    "/\xff",
    "/%ff%fe",
    "/%ed%a0%80",
    "/%",
    "/" + "a" * 20_000,
    "/" + "%2e%2e%2f" * 500,
    "*",
    "http://evil.example/queue",
    "queue",
]

SAFE = {200, 302, 303, 307, 400, 401, 403, 404, 405}


async def asked(base: str, path: str, headers: Mapping[str, str], method: str = "GET") -> tuple[int, bytes]:
    """The status of a request whose path is sent as it stands, and the beginning of the answer."""
    host, _, port = base.removeprefix("http://").partition(":")
    lines = [f"{method} {path} HTTP/1.1", f"Host: {host}:{port}", "Connection: close", "Content-Length: 0"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write("\r\n".join([*lines, "", ""]).encode("latin-1"))
    async with asyncio.timeout(20):
        answer = await reader.read()
    writer.close()
    return int(answer.split(b" ", 2)[1]), answer


@pytest.mark.parametrize("method", ["GET", "POST", "DELETE", "HEAD"])
async def test_no_spelling_opens_without_a_key_what_needs_one(base: str, method: str) -> None:
    for path in ODD:
        status, answer = await asked(base, path, {}, method)

        assert status in SAFE, path
        assert b"queue_running" not in answer, path
        assert b'"paused"' not in answer, path


@pytest.mark.parametrize("method", ["GET", "POST", "DELETE", "HEAD", "OPTIONS", "PUT", "TRACE"])
async def test_no_spelling_is_too_odd_for_an_answer(base: str, tenant: Tenant, method: str) -> None:
    for path in ODD:
        for way in (path, f"/k/{tenant.key}{path}"):
            status, answer = await asked(base, way, tenant.headers, method)

            assert status in SAFE | {204}, (path, status)
            assert tenant.key.encode() not in answer, path
