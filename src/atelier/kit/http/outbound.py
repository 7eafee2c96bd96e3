"""What others name is asked without trust: the address that was checked is the one that is connected to.

A name is looked up once for each hop, all its addresses must be public, and the connection goes to them and to no
others, so that a name which changes its mind between the look and the call gains nothing. Redirects are followed
by hand and checked like the first address. No cookies, no credentials, no proxy of the environment.
"""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import (
    AsyncGenerator,
    AsyncIterator,
    Awaitable,
    Callable,
    Collection,
    Generator,
    Mapping,
    Sequence,
)
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, ClassVar

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from atelier.kit import clock
from atelier.kit.errors import Kind, Refusal
from atelier.kit.http.public_addresses import (
    Address,
    ForbiddenAddress,
    Network,
    is_public,
    literal,
    parse_target,
)

__all__ = [
    "Answer",
    "FetchFailed",
    "Fetched",
    "ForbiddenAddress",
    "Outbound",
    "Patience",
    "TooLarge",
    "WrongContent",
]

CHUNK = 256 * 1024
MOST_HOPS = 5
ANSWER_CHARACTERS = 200
LOOKUPS = 128
"""Threads that wait for names: one stays in its thread for half a minute after who asked has given up. One account
asks for some dozens at once, of servers that never answer if it likes; the others are not to wait for those.
"""

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_NO_HEADERS: Mapping[str, str] = {}

_Info = tuple[int | socket.AddressFamily, int | socket.SocketKind, int, str, tuple[Any, ...]]
"""A place to connect to, as getaddrinfo gives it."""

LookUp = Callable[[str], Awaitable[Sequence[Address]]]
"""All addresses of a name; raises OSError when there are none."""


class FetchFailed(Refusal):
    """What was asked for did not come."""

    kind: ClassVar[Kind] = Kind.UNPROCESSABLE
    code: ClassVar[str] = "fetch_failed"


class WrongContent(FetchFailed):
    """It came as something that was not asked for."""

    code: ClassVar[str] = "fetched_wrong_content"


class TooLarge(Refusal):
    """It is larger than it may be; the rest was not read."""

    kind: ClassVar[Kind] = Kind.TOO_LARGE
    code: ClassVar[str] = "fetched_too_large"


@dataclass(frozen=True, slots=True)
class Patience:
    """Seconds: for a connection, between two reads, and for all of it."""

    connect: float = 10.0
    idle: float = 15.0
    total: float = 120.0


@dataclass(frozen=True, slots=True)
class Fetched:
    """A body on its way: read `chunks` once, inside the context; they raise FetchFailed and TooLarge.

    `content_type` is in lower case and without parameters, as the other side says it; `size` in bytes where it is
    said; `url` the address that it came from in the end.
    """

    status: int
    content_type: str
    size: int | None
    url: str
    chunks: AsyncIterator[bytes]


@dataclass(frozen=True, slots=True)
class Answer:
    """What a post was answered. `said`: how the body begins, for people, at most ANSWER_CHARACTERS."""

    status: int
    said: str


class SystemLookUp:
    """The system's resolver, in threads of its own: names that take long hold up nothing else."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(LOOKUPS, thread_name_prefix="lookup")

    async def __call__(self, host: str) -> Sequence[Address]:
        loop = asyncio.get_running_loop()
        found = await loop.run_in_executor(self._threads, _system_addresses, host)
        return tuple(found)


class Outbound:
    """A client for addresses that others name. Without state: it may be shared, and is never closed.

    `allowed` networks are asked as if they were public: only for an operator's own services and for tests.
    """

    def __init__(
        self,
        *,
        user_agent: str,
        allowed: Sequence[Network] = (),
        look_up: LookUp | None = None,
        tls: ssl.SSLContext | None = None,
        patience: Patience = Patience(),
    ) -> None:
        self._user_agent = user_agent
        self._allowed = tuple(allowed)
        self._look_up = look_up or SystemLookUp()
        self._tls = tls
        self._patience = patience

    def check(self, url: str) -> None:
        """What can be said against an address without looking its name up. Raises ForbiddenAddress."""
        target = parse_target(url)
        written = literal(target.raw_host or "")
        if written is not None:
            self._check((written,), target)

    def get(
        self, url: str, *, limit: int, accept: Collection[str] = ()
    ) -> contextlib.AbstractAsyncContextManager[Fetched]:
        """The 200 at the end of at most MOST_HOPS redirects, at most `limit` bytes of it.

        `accept`: content types like `image/png` and `image/*`; empty: any. What the bytes are is for the reader to
        find out. Raises ForbiddenAddress, FetchFailed, WrongContent and TooLarge.
        """
        return self._got(parse_target(url), limit, accept)

    async def post(
        self, url: str, body: bytes, headers: Mapping[str, str] = _NO_HEADERS, *, seconds: float = 15.0
    ) -> Answer:
        """One POST, answered within `seconds`; redirects are not followed. As `get` it raises."""
        target = parse_target(url)
        until = clock.monotonic() + seconds
        async with self._asked(target, until, body, headers) as response:
            return Answer(response.status, await _beginning(response))

    @contextlib.asynccontextmanager
    async def _got(self, target: URL, limit: int, accept: Collection[str]) -> AsyncGenerator[Fetched]:
        until = clock.monotonic() + self._patience.total
        for _ in range(MOST_HOPS + 1):
            async with self._asked(target, until) as response:
                if response.status not in _REDIRECTS:
                    yield _fetched(response, limit, accept)
                    return
                target = _next(target, response.headers.get("Location", ""))
        raise FetchFailed(f"The address leads on more than {MOST_HOPS} times.")

    @contextlib.asynccontextmanager
    async def _asked(
        self, target: URL, until: float, body: bytes | None = None, headers: Mapping[str, str] = _NO_HEADERS
    ) -> AsyncGenerator[aiohttp.ClientResponse]:
        """One hop."""
        addresses = await self._checked(target, until)
        async with self._session(addresses, until, headers) as session:
            with _failures():
                response = await session.request(
                    "GET" if body is None else "POST", target, data=body, allow_redirects=False
                )
            async with response:
                yield response

    def _session(
        self, addresses: Sequence[Address], until: float, headers: Mapping[str, str]
    ) -> aiohttp.ClientSession:
        return aiohttp.ClientSession(
            connector=_pinned(addresses, self._tls),
            timeout=aiohttp.ClientTimeout(
                total=_left(until), sock_connect=self._patience.connect, sock_read=self._patience.idle
            ),
            headers={"User-Agent": self._user_agent, "Accept": "*/*", "Accept-Encoding": "identity", **headers},
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            trust_env=False,
        )

    async def _checked(self, target: URL, until: float) -> Sequence[Address]:
        """All addresses of the target; one that is not public refuses them all: who mixes them means harm."""
        host = target.raw_host or ""
        written = literal(host)
        addresses = (written,) if written is not None else await self._looked_up(host, until)
        self._check(addresses, target)
        return addresses

    def _check(self, addresses: Sequence[Address], target: URL) -> None:
        if not all(is_public(address, self._allowed) for address in addresses):
            raise ForbiddenAddress(f"{target.raw_host} is not a public address.")

    async def _looked_up(self, host: str, until: float) -> Sequence[Address]:
        try:
            async with asyncio.timeout(min(_left(until), self._patience.connect)):
                addresses = await self._look_up(host)
        except (OSError, UnicodeError):  # a timeout is an OSError
            raise FetchFailed(f"The host {host} could not be found.") from None
        if not addresses:
            raise FetchFailed(f"The host {host} has no address.")
        return addresses


class _Pinned(AbstractResolver):
    """Knows what was checked, and looks nothing up."""

    def __init__(self, addresses: Sequence[Address]) -> None:
        self._addresses = addresses

    async def resolve(
        self,
        host: str,
        port: int = 0,
        family: socket.AddressFamily = socket.AF_UNSPEC,  # noqa: ARG002 - theirs
    ) -> list[ResolveResult]:
        return [_result(host, port, address) for address in self._addresses]

    async def close(self) -> None:
        return


def _result(host: str, port: int, address: Address) -> ResolveResult:
    return ResolveResult(
        hostname=host,
        host=str(address),
        port=port,
        family=socket.AF_INET if address.version == 4 else socket.AF_INET6,
        proto=socket.IPPROTO_TCP,
        flags=socket.AI_NUMERICHOST,
    )


def _pinned(addresses: Sequence[Address], tls: ssl.SSLContext | None) -> aiohttp.TCPConnector:
    """Connections to these addresses, whatever the client makes of the name; they are used once."""

    def opened(info: _Info) -> socket.socket:
        family, kind, protocol, _, place = info
        if literal(str(place[0])) not in addresses:
            raise PermissionError(f"{place[0]} was not checked")
        return socket.socket(family, kind, protocol)

    return aiohttp.TCPConnector(
        resolver=_Pinned(addresses),
        use_dns_cache=False,
        force_close=True,
        ssl=True if tls is None else tls,
        socket_factory=opened,
    )


def _system_addresses(host: str) -> list[Address]:
    found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    addresses = (literal(str(place[0])) for *_, place in found)
    return list(dict.fromkeys(address for address in addresses if address is not None))


def _left(until: float) -> float:
    left = until - clock.monotonic()
    if left <= 0:
        raise FetchFailed("It took too long.")
    return left


def _next(here: URL, location: str) -> URL:
    """Where a redirect leads, checked as if it had been asked for; never from https back to http."""
    if not location:
        raise FetchFailed("The address leads on to nowhere.")
    try:
        there = here.join(URL(location))
    except ValueError:
        raise FetchFailed("The address leads on to what is no address.") from None
    if here.scheme == "https" and there.scheme == "http":
        raise ForbiddenAddress("The address leads from https to http.")
    return parse_target(str(there))


def _fetched(response: aiohttp.ClientResponse, limit: int, accept: Collection[str]) -> Fetched:
    """The answer, once all that its head can say against it has been asked."""
    if response.status != 200:
        raise FetchFailed(f"The address answered {response.status}.", details={"status": response.status})
    if response.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise WrongContent("The answer is compressed, which was not asked for.")
    kind = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if accept and not _accepted(kind, accept):
        raise WrongContent(f"The address gives {kind[:80] or 'what has no type'}, which is not taken here.")
    if response.content_length is not None and response.content_length > limit:
        raise _too_large(limit)
    return Fetched(200, kind, response.content_length, str(response.url), _bounded(response, limit))


def _accepted(kind: str, accept: Collection[str]) -> bool:
    return kind in accept or f"{kind.partition('/')[0]}/*" in accept or "*/*" in accept


async def _bounded(response: aiohttp.ClientResponse, limit: int) -> AsyncGenerator[bytes]:
    total = 0
    with _failures():
        async for chunk in response.content.iter_chunked(CHUNK):
            total += len(chunk)
            if total > limit:
                raise _too_large(limit)
            yield chunk


async def _beginning(response: aiohttp.ClientResponse) -> str:
    """What an answer says, as far as people want to read it; one that breaks off has been given all the same."""
    said = bytearray()
    with contextlib.suppress(FetchFailed), _failures():
        async for chunk in response.content.iter_any():
            said += chunk
            if len(said) >= 4 * ANSWER_CHARACTERS:
                break
    text = (
        bytes(said[: 4 * ANSWER_CHARACTERS]).decode("utf-8", "replace").replace("\0", "\N{REPLACEMENT CHARACTER}")
    )
    return text[:ANSWER_CHARACTERS]


def _too_large(limit: int) -> TooLarge:
    return TooLarge(f"What the address gives is larger than {limit} bytes.", details={"limit_bytes": limit})


@contextlib.contextmanager
def _failures() -> Generator[None]:
    """Whatever the network does becomes FetchFailed, in words that tell nothing of our own networks."""
    try:
        yield
    except aiohttp.ClientConnectorCertificateError as error:
        raise FetchFailed(f"The certificate of {error.host} is not valid.") from error
    except aiohttp.ClientConnectorError as error:
        raise FetchFailed(f"No connection to {error.host}.") from error
    except TimeoutError as error:
        raise FetchFailed("It took too long.") from error
    except (aiohttp.ClientError, OSError) as error:
        raise FetchFailed("The connection broke off.") from error
