"""One HTTP exchange with one ComfyUI server: bounded in time and size, and every failure sorted."""

import asyncio
import contextlib
import errno
import json
import os
import ssl
from collections.abc import AsyncGenerator, Generator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any
from urllib.parse import quote

import aiohttp
from yarl import URL

from atelier.comfy.errors import BODY_START, LostServer, Unexpected
from atelier.comfy.uploads import Part

JSON_LIMIT = 64 * 1024 * 1024
NO_HEADERS: Mapping[str, str] = MappingProxyType({})

_AWAY = frozenset({408, 425, 429, 502, 503, 504, *range(520, 531)})
_LOCKED = frozenset({401, 407})
_SERVICE_TOKEN = "give this server the headers CF-Access-Client-Id and CF-Access-Client-Secret of a service token"  # noqa: S105 - it names a cure


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds.

    `connect`: until a connection stands. `read`: without a byte of a JSON reply. `idle_download`: without a byte
    of a file, either way. `whole`: one JSON exchange from end to end.
    """

    connect: float = 10.0
    read: float = 30.0
    idle_download: float = 60.0
    whole: float = 300.0


DEFAULT_TIMEOUTS = Timeouts()


class Wire:
    """Paths under one base URL, with the headers of that server on every request and never an Origin."""

    def __init__(
        self, session: aiohttp.ClientSession, url: str, headers: Mapping[str, str], timeouts: Timeouts
    ) -> None:
        self._session = session
        self._base = URL(url.rstrip("/"))
        self._headers = without_origin(headers)
        self.timeouts = timeouts

    async def json(self, method: str, *path: str, body: object = None) -> "Reply":
        """One exchange whose reply is small enough to be read whole. Raises LostServer, Unexpected."""
        limits = self._limits(self.timeouts.read, self.timeouts.whole)
        sent = None if body is None else _encoded(body)
        async with self._exchange(method, path, {}, sent, limits) as response:
            return Reply(response.status, await _read(response))

    async def send_file(self, *path: str, part: Part) -> "Reply":
        """POST a file; it fails when no piece of it can be written for the idle time."""
        idle = self.timeouts.idle_download
        clock = asyncio.get_running_loop().time
        try:
            with sorted_failures():
                async with asyncio.timeout(idle + part.extra_seconds()) as patience:
                    data = part.form(lambda: patience.reschedule(clock() + idle))
                    async with self._exchange("POST", path, {}, data, self._limits(idle, None)) as response:
                        return Reply(response.status, await _read(response))
        except LostServer:
            part.raise_own_failure()
            raise

    async def head(self, *path: str, query: Mapping[str, str]) -> tuple[int, int | None]:
        """The status of a reply, and how many bytes its body would have where the server says it."""
        limits = self._limits(self.timeouts.read, self.timeouts.whole)
        async with self._exchange("HEAD", path, query, None, limits) as response:
            length = response.headers.get("Content-Length", "")
            return response.status, int(length) if length.isdecimal() else None

    @contextlib.asynccontextmanager
    async def stream(self, *path: str, query: Mapping[str, str]) -> AsyncGenerator[aiohttp.ClientResponse]:
        """A reply whose body the caller reads itself, under `sorted_failures`; what else it raises is its own."""
        limits = self._limits(self.timeouts.idle_download, None)
        async with self._exchange("GET", path, query, None, limits) as response:
            yield response

    @contextlib.asynccontextmanager
    async def _exchange(
        self,
        method: str,
        path: tuple[str, ...],
        query: Mapping[str, str],
        sent: bytes | aiohttp.FormData | None,
        limits: aiohttp.ClientTimeout,
    ) -> AsyncGenerator[aiohttp.ClientResponse]:
        headers = {**self._headers, **({"Content-Type": "application/json"} if isinstance(sent, bytes) else {})}
        below = "/".join(quote(part, safe="") for part in path)
        request = self._session.request(
            method,
            URL(f"{self._base}/{below}", encoded=True).with_query(query),
            data=sent,
            headers=headers,
            timeout=limits,
            allow_redirects=False,
        )
        async with contextlib.AsyncExitStack() as stack:
            with sorted_failures():
                response = await stack.enter_async_context(request)
            _refuse_strangers(response)
            yield response

    def _limits(self, read: float, total: float | None) -> aiohttp.ClientTimeout:
        connect = self.timeouts.connect
        return aiohttp.ClientTimeout(total=total, connect=connect, sock_connect=connect, sock_read=read)


@dataclass(frozen=True, slots=True)
class Reply:
    """A reply that came whole. `text` is for people; `document()` for programs."""

    status: int
    body: bytes

    @property
    def text(self) -> str:
        return self.body[: 4 * BODY_START].decode("utf-8", "replace")

    def document(self) -> Any:
        """The JSON of the body; raises Unexpected where there is none."""
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError):
            raise self.unexpected() from None

    def unexpected(self) -> Unexpected:
        return Unexpected(self.status, self.text)


def without_origin(headers: Mapping[str, str]) -> dict[str, str]:
    """A loopback ComfyUI answers 403 when an Origin differs from its Host (behaviour 27)."""
    return {name: value for name, value in headers.items() if name.lower() != "origin"}


@contextlib.contextmanager
def sorted_failures() -> Generator[None]:
    """Turn whatever the network does into LostServer."""
    try:
        yield
    except aiohttp.ClientConnectorError as error:
        refused = error.os_error.errno == errno.ECONNREFUSED or isinstance(error.os_error, ConnectionRefusedError)
        raise LostServer(f"no connection: {_why(error.os_error)}", refused=refused, never_sent=True) from error
    except (aiohttp.ConnectionTimeoutError, aiohttp.InvalidURL) as error:
        raise LostServer(f"no connection: {error}", never_sent=True) from error
    except TimeoutError as error:
        raise LostServer(f"no reply in time: {error}") from error
    except (aiohttp.ClientError, OSError, asyncio.IncompleteReadError) as error:
        raise LostServer(f"the connection broke: {str(error) or type(error).__name__}") from error


def _why(error: OSError) -> str:
    """What the system says, without the words that aiohttp puts around it."""
    if isinstance(error, ssl.SSLError):
        return str(error)
    return os.strerror(error.errno) if error.errno and error.errno > 0 else error.strerror or str(error)


def lost_by_status(status: int, headers: Mapping[str, str]) -> LostServer | None:
    """The statuses that a proxy, a tunnel or a login page gives in place of the server."""
    if status in _AWAY:
        return LostServer(f"what stands before the server answered {status}")
    if status in _LOCKED:
        return LostServer(f"the server asks for credentials ({status}): check the headers of this server")
    if 300 <= status < 400:
        return LostServer(_redirected(headers.get("Location", "")))
    return None


def _redirected(location: str) -> str:
    if "cloudflareaccess.com" in location or "/cdn-cgi/access/" in location:
        return f"Cloudflare Access asks for a login: {_SERVICE_TOKEN}"
    target = location.partition("?")[0][:200]
    return f"the server redirects to {target or 'nowhere'}: its URL should be the one that answers itself"


def _refuse_strangers(response: aiohttp.ClientResponse) -> None:
    lost = lost_by_status(response.status, response.headers)
    if lost is not None:
        raise lost


async def _read(response: aiohttp.ClientResponse) -> bytes:
    parts: list[bytes] = []
    size = 0
    with sorted_failures():
        async for part in response.content.iter_any():
            size += len(part)
            if size > JSON_LIMIT:
                raise Unexpected(response.status, f"a reply of more than {JSON_LIMIT} bytes")
            parts.append(part)
    return b"".join(parts)


def _encoded(body: object) -> bytes:
    return json.dumps(body, separators=(",", ":"), allow_nan=False).encode()
