"""What only a server can tell a client is asked by this process: of servers that are well and that it can reach.

Nothing of the client goes along but what is named here, and of the answer only what is named comes back: no
credentials, no cookies, either way. A server that does not answer is left alone for some seconds.
"""

import asyncio
import contextlib
from collections import OrderedDict
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Mapping
from dataclasses import dataclass, field
from urllib.parse import quote

import aiohttp
import structlog
from blake3 import blake3
from yarl import URL

from atelier.comfy.errors import LostServer
from atelier.comfy.wire import lost_by_status, sorted_failures, without_origin
from atelier.fleet.model import Health, Server
from atelier.fleet.view import FleetView
from atelier.kit import clock
from atelier.kit.http.sse import StreamSlots
from atelier.kit.ids import ServerId

AT_ONCE = 32
PASSED_PER_ACCOUNT = 16
"""Requests of one account that are passed on at once."""
CONNECT_SECONDS = 3.0
WHOLE_SECONDS = 30.0
SHUNNED_SECONDS = 10.0
LARGEST_FILE = 32 * 1024 * 1024

_USABLE = frozenset({Health.READY, Health.DEGRADED})

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Fetched:
    """A small answer that came whole. `headers` in small letters."""

    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass(slots=True)
class Reach:
    """Asks servers while it is `opened`, over a session that keeps no cookies and unpacks nothing by itself.

    `passing`, `sticky` and `packs` are for requests that are passed on: how many there are, who was sent where,
    which packs an inventory has (by its digest).
    """

    fleet: FleetView
    passing: StreamSlots = field(default_factory=lambda: StreamSlots(PASSED_PER_ACCOUNT))
    sticky: OrderedDict[str, ServerId] = field(default_factory=OrderedDict[str, ServerId])
    packs: dict[bytes, frozenset[str]] = field(default_factory=dict[bytes, frozenset[str]])
    _http: aiohttp.ClientSession | None = None
    _places: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(AT_ONCE))
    _shunned: dict[ServerId, float] = field(default_factory=dict[ServerId, float])

    @contextlib.asynccontextmanager
    async def opened(self) -> AsyncGenerator[None]:
        """Closes its connections at the end."""
        connector = aiohttp.TCPConnector(limit=0, limit_per_host=AT_ONCE)
        jar = aiohttp.DummyCookieJar()
        async with aiohttp.ClientSession(connector=connector, cookie_jar=jar, auto_decompress=False) as http:
            self._http = http
            try:
                yield
            finally:
                self._http = None

    def servers(self) -> list[Server]:
        """Those that may be asked, by id: ready, not quarantined, not known to one dispatcher alone."""
        if self._http is None:
            return []
        return [one for one in usable(self.fleet.servers) if not self._is_shunned(one)]

    async def fetch(
        self, server: Server, path: str, *, query: str = "", headers: Mapping[str, str] | None = None
    ) -> Fetched | None:
        """GET `path` (not encoded); None where it does not answer, or with more than 32 MB."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(2 * WHOLE_SECONDS), self._places:
                return await self._fetch(server, quote(path), query, headers)
        return None

    async def _fetch(
        self, server: Server, path: str, query: str, headers: Mapping[str, str] | None
    ) -> Fetched | None:
        try:
            async with (
                asyncio.timeout(WHOLE_SECONDS),
                self.stream(server, "GET", path, query=query, headers=headers) as response,
            ):
                body = await _small(response)
                return None if body is None else Fetched(response.status, lowered(response.headers), body)
        except (LostServer, TimeoutError) as error:
            self._shun(server, error)
            return None

    @contextlib.asynccontextmanager
    async def stream(
        self,
        server: Server,
        method: str,
        path: str,
        *,
        query: str = "",
        headers: Mapping[str, str] | None = None,
        body: AsyncIterator[bytes] | None = None,
        idle: float = WHOLE_SECONDS,
    ) -> AsyncGenerator[aiohttp.ClientResponse]:
        """An answer that the caller reads itself, under `sorted_failures`; `path` and `query` are encoded.

        `idle`: seconds without a byte. Raises LostServer, also for the answers of what stands before a server.
        """
        if self._http is None:
            raise LostServer("nobody is asked any more", never_sent=True)
        request = self._http.request(
            method,
            URL(f"{server.url}{path}{'?' if query else ''}{query}", encoded=True),
            data=body,
            headers={"Accept-Encoding": "identity", **(headers or {}), **without_origin(server.headers)},
            timeout=aiohttp.ClientTimeout(
                total=None, connect=CONNECT_SECONDS, sock_connect=CONNECT_SECONDS, sock_read=idle
            ),
            allow_redirects=False,
        )
        async with contextlib.AsyncExitStack() as stack:
            with sorted_failures():
                response = await stack.enter_async_context(request)
            lost = None if response.status == 304 else lost_by_status(response.status, response.headers)
            if lost is not None:
                raise lost
            yield response

    def _shun(self, server: Server, error: Exception) -> None:
        _log.info("server.not_reached", server=server.id, reason=str(error) or "it takes too long")
        self._shunned[server.id] = clock.monotonic() + SHUNNED_SECONDS

    def _is_shunned(self, server: Server) -> bool:
        until = self._shunned.get(server.id, 0.0)
        if until and until <= clock.monotonic():
            del self._shunned[server.id]
        return until > clock.monotonic()


def well(servers: Iterable[Server]) -> list[Server]:
    """Servers that work, whoever can reach them."""
    return [one for one in servers if one.enabled and one.health in _USABLE]


def usable(servers: Iterable[Server]) -> list[Server]:
    """Servers that work and that more than one dispatcher can reach."""
    return [one for one in well(servers) if not one.only_dispatcher]


def preferred(servers: Iterable[Server], who: str) -> list[Server]:
    """The servers in the order in which `who` is sent to them, the same in every process.

    By highest random weight: who is lost with a server goes elsewhere, and nobody else moves.
    """
    return sorted(servers, key=lambda one: blake3(f"{who}\0{one.id}".encode()).digest(), reverse=True)


def lowered(headers: Mapping[str, str]) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}


async def _small(response: aiohttp.ClientResponse) -> bytes | None:
    parts: list[bytes] = []
    size = 0
    with sorted_failures():
        async for part in response.content.iter_any():
            parts.append(part)
            size += len(part)
            if size > LARGEST_FILE:
                return None
    return b"".join(parts)
