"""Browsers of the listed origins may call, and no others: never `*`."""

from collections.abc import Sequence
from urllib.parse import urlsplit

from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware

from atelier.kit.errors import SetupFailed

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
HEADERS = (
    "Authorization",
    "X-API-Key",
    "Content-Type",
    "Idempotency-Key",
    "Last-Event-ID",
    "Range",
    "If-Range",
    "If-None-Match",
)
EXPOSED = ("Retry-After", "Content-Range", "Accept-Ranges", "Content-Disposition", "ETag", "Location")


def cors(origins: Sequence[str], exposed: Sequence[str] = (), allowed: Sequence[str] = ()) -> list[Middleware]:
    """The middleware for these origins; none when there are none. Raises SetupFailed for what is not an origin.

    `allowed` and `exposed`: headers of requests and of answers besides the usual ones.
    """
    for origin in origins:
        _check(origin)
    if not origins:
        return []
    return [
        Middleware(
            CORSMiddleware,
            allow_origins=tuple(origins),
            allow_methods=METHODS,
            allow_headers=(*HEADERS, *allowed),
            expose_headers=(*EXPOSED, *exposed),
            max_age=600,
        )
    ]


def _check(origin: str) -> None:
    parts = urlsplit(origin)
    if parts.scheme not in {"http", "https"} or origin != f"{parts.scheme}://{parts.netloc}" or "*" in origin:
        raise SetupFailed(f"{origin!r} is not an origin: write it like https://studio.example.com, one by one")
