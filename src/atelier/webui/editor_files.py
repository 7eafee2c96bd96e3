"""The editor's files leave as their package brought them: right types, ranges, compressed once, cached."""

import asyncio
import functools
import gzip
import importlib.util
import re
from collections.abc import Awaitable, Callable
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response
from starlette.staticfiles import StaticFiles

from atelier.accounts.model import Unauthorized
from atelier.dialects.auth import Call, identify

Refusal = Callable[[Request, Unauthorized], Response]
Admission = Callable[[Call], Awaitable[None]]

PACKAGE = "comfyui_frontend_package"
INDEX = "index.html"

TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".map": "application/json",
    ".mjs": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".ttf": "font/ttf",
    ".wasm": "application/wasm",
    ".webm": "video/webm",
    ".webp": "image/webp",
    ".woff": "font/woff",
    ".woff2": "font/woff2",
}
"""What browsers insist on for modules, fonts and WebAssembly, whatever the machine's own table of types says."""

COMPRESSIBLE = frozenset({".css", ".html", ".js", ".json", ".map", ".mjs", ".svg", ".ttf", ".wasm"})
WORTH_COMPRESSING = 1_400
KEPT_COMPRESSED = 512
LEVEL = 6
KEPT_HEADERS = ("content-type", "cache-control", "content-security-policy", "last-modified")

_HASHED = re.compile(r"-[A-Za-z0-9_-]{8,}\.[a-z0-9]+(\.map)?$")

FOREVER = "private, max-age=31536000, immutable"
NOT_UNASKED = "private, no-cache"
NEVER = "no-store"


def installed() -> Path | None:
    """The folder of the package's files; None where the package is not installed."""
    found = importlib.util.find_spec(PACKAGE)
    folder = Path(found.origin).parent / "static" if found and found.origin else None
    return folder if folder and (folder / INDEX).is_file() else None


class EditorFiles:
    """Serves `folder` to known callers, always `name` if one is given; others get what `refused` says, or 401.

    `admitted` is asked before each answer to a known caller.
    """

    def __init__(
        self, folder: Path, *, name: str = "", refused: Refusal | None = None, admitted: Admission | None = None
    ) -> None:
        self._folder = folder
        self._refused = refused
        self._admitted = admitted
        self._name = name
        self._static = StaticFiles(directory=folder)

    async def answer(self, request: Request) -> Response:
        """Raises Unauthorized; HTTPException 404 for what the package has not."""
        try:
            call = await identify(request)
        except Unauthorized as unauthorized:
            if self._refused is None:
                raise
            return self._refused(request, unauthorized)
        if self._admitted is not None:
            await self._admitted(call)
        return await self.public(request)

    async def public(self, request: Request) -> Response:
        """The same for anybody. Raises HTTPException 404."""
        name = self._name or self._static.get_path(request.scope)
        whole = await self._static.get_response(name, request.scope)
        whole.headers.update(_headers(name))
        if whole.status_code == 200 and _may_be_compressed(request, name):
            return await _smaller(self._folder / name, whole)
        return whole


def _headers(name: str) -> dict[str, str]:
    kind = TYPES.get(Path(name).suffix)
    typed = {"Content-Type": kind} if kind else {}
    framed = {"Content-Security-Policy": "frame-ancestors 'self'"} if name == INDEX else {}
    return {"Cache-Control": _cached(name), **typed, **framed}


def _cached(name: str) -> str:
    if name == INDEX:
        return NEVER
    return FOREVER if name.startswith("assets/") and _HASHED.search(name) else NOT_UNASKED


def _may_be_compressed(request: Request, name: str) -> bool:
    asked = request.headers
    return (
        Path(name).suffix in COMPRESSIBLE and "gzip" in asked.get("accept-encoding", "") and "range" not in asked
    )


async def _smaller(path: Path, whole: Response) -> Response:
    """The file compressed, with the headers of the whole one; as it is where that does not pay."""
    body = await asyncio.to_thread(_compressed, path)
    if body is None:
        return whole
    kept = {name: whole.headers[name] for name in KEPT_HEADERS if name in whole.headers}
    changed = {"ETag": f"W/{whole.headers['etag']}", "Content-Encoding": "gzip", "Vary": "Accept-Encoding"}
    return Response(body, headers={**kept, **changed})


@functools.lru_cache(KEPT_COMPRESSED)
def _compressed(path: Path) -> bytes | None:
    """Each file once for each process: the package does not change under a running one."""
    content = path.read_bytes()
    smaller = gzip.compress(content, LEVEL, mtime=0) if len(content) >= WORTH_COMPRESSING else content
    return smaller if len(smaller) < len(content) * 0.9 else None
