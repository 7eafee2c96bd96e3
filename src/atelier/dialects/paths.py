"""Where the prefixes of the dialects meet: one table says whose a path is, and who answers for an unknown one."""

import enum
from collections.abc import Sequence
from dataclasses import dataclass

from starlette.types import Scope


class Dialect(enum.StrEnum):
    """Who answers at a path, and in whose envelope it is refused."""

    OURS = "Atelier"
    COMFY_V2 = "Comfy API v2"
    NATIVE = "ComfyUI native"
    PAGES = "pages"


@dataclass(frozen=True, slots=True)
class Place:
    """A path and all below it (`exactly`: itself alone). `note` is for readers of docs/paths.md."""

    path: str
    dialect: Dialect
    note: str
    exactly: bool = False


TABLE: Sequence[Place] = (
    Place("/api/v1", Dialect.OURS, "queue, jobs, servers, models, dead letters"),
    Place("/api/v2/userdata", Dialect.NATIVE, "the twin of /v2/userdata", True),
    Place("/api/v2", Dialect.COMFY_V2, "jobs and assets of the official SDKs"),
    Place("/health", Dialect.OURS, "for load balancers; /health/detailed needs a key"),
    Place("/files", Dialect.OURS, "files by signed links"),
    Place("/openapi.json", Dialect.OURS, "the document of Atelier's own routes and Comfy API v2", True),
    Place("/login", Dialect.PAGES, "sign-in for browsers"),
    Place("/logout", Dialect.PAGES, "and sign-out", True),
    Place("/comfy", Dialect.PAGES, "the editor; a native path behind it is that native path"),
    Place("/assets/images", Dialect.PAGES, "pictures that the editor asks for at the root"),
    Place("/", Dialect.PAGES, "the way in", True),
    Place("", Dialect.NATIVE, "everything else, with and without /api: one very large ComfyUI"),
)
"""The first place that has a path answers for it."""

_EXACTLY = {place.path: place.dialect for place in reversed(TABLE)}
_BELOW = tuple((f"{place.path}/", place.dialect) for place in TABLE if not place.exactly)

EDITOR = "/comfy"
BEHIND_EDITOR = ("/api", "/ws", "/internal")
"""What the editor asks of its server below its own address; everything else there is its own files."""


def dialect_of(path: str) -> Dialect:
    """Whose a path is, known or not; keys and prefixes are taken off it already."""
    exactly = _EXACTLY.get(path)
    if exactly is not None:
        return exactly
    for prefix, dialect in _BELOW:
        if path.startswith(prefix):
            return dialect
    return Dialect.NATIVE


def come_in(scope: Scope) -> None:
    """`/comfy/api/queue` is `/api/queue`: the editor finds its server below its own address."""
    raw: bytes = scope["raw_path"]
    path: str = scope["path"]
    behind = path.removeprefix(EDITOR)
    if behind == path or not any(behind == root or behind.startswith(f"{root}/") for root in BEHIND_EDITOR):
        return
    if raw.startswith(EDITOR.encode()):
        scope["path"], scope["raw_path"] = behind, raw[len(EDITOR) :]
