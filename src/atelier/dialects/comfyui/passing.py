"""Where the operator allows it, a route that only packs of servers have is passed on: to one server per client.

Never a route of ComfyUI itself or of ours, never a WebSocket. Nothing of the client goes along that says who it
is, and the answer sets no cookies here; but what a route of a pack does on its machine, it does for any caller.
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar
from urllib.parse import unquote_plus

import aiohttp
import structlog
from starlette.requests import Request
from starlette.types import Receive, Scope, Send

from atelier.accounts import rules
from atelier.comfy.errors import LostServer
from atelier.comfy.wire import sorted_failures
from atelier.dialects.auth import Call, identify
from atelier.dialects.comfyui.extensions import is_plain
from atelier.dialects.comfyui.packs import candidates, stick
from atelier.dialects.comfyui.reach import Reach
from atelier.dialects.paths import Dialect, dialect_of
from atelier.dialects.services import Services
from atelier.fleet.model import Server
from atelier.kit.errors import Kind, Refusal
from atelier.kit.http import bodies
from atelier.kit.http.sse import TooManyStreams
from atelier.kit.http.streamed import Streamed, copying
from atelier.kit.ids import AccountId

TRIED = 3
"""Servers, of which each says that it has no such route."""
HELD_BYTES = 1024 * 1024
"""Of a request: what is held in memory, so that another server can be asked. More goes to the first one alone."""
IDLE_SECONDS = 60.0
WHOLE_SECONDS = 900.0
CHUNK = 64 * 1024

OF_COMFYUI = frozenset(
    {
        "api",
        "assets",
        "docs",
        "embeddings",
        "experiment",
        "extensions",
        "features",
        "free",
        "global_subgraphs",
        "history",
        "i18n",
        "internal",
        "interrupt",
        "jobs",
        "models",
        "node_replacements",
        "object_info",
        "prompt",
        "queue",
        "scripts",
        "settings",
        "system_stats",
        "tags",
        "templates",
        "upload",
        "user.css",
        "userdata",
        "users",
        "v2",
        "view",
        "view_metadata",
        "workflow_templates",
        "ws",
    }
)
"""First parts of paths that ComfyUI answers itself, in any version: behind them is the state of one server."""

OF_OPERATORS = frozenset(
    {"comfyui_manager", "customnode", "externalmodel", "manager", "snapshot", "restart", "reboot", "terminal"}
)
"""ComfyUI-Manager and its like install code and start servers anew: that is for those who own the machine."""

_SENT = frozenset(
    {
        "accept",
        "accept-language",
        "cache-control",
        "content-encoding",
        "content-type",
        "if-modified-since",
        "if-none-match",
        "if-range",
        "range",
        "user-agent",
    }
)
_ANSWERED = frozenset(
    {
        "accept-ranges",
        "content-disposition",
        "content-encoding",
        "content-language",
        "content-length",
        "content-range",
        "content-type",
        "etag",
        "last-modified",
    }
)
_NO_SUCH_ROUTE = frozenset({404, 405})
_BOXED = {
    "Content-Security-Policy": "sandbox allow-downloads allow-forms allow-modals allow-popups allow-scripts",
    "X-Content-Type-Options": "nosniff",
}
"""A pack may show one caller a page with what another one wrote: no such page acts for who looks at it."""

_log = structlog.get_logger(__name__)


class ServerAway(Refusal):
    """The server that has the pack does not answer."""

    kind: ClassVar[Kind] = Kind.UNAVAILABLE
    code: ClassVar[str] = "server_away"


class TooManyPassed(Refusal):
    """So many requests of the account are being passed on already."""

    kind: ClassVar[Kind] = Kind.BUSY
    code: ClassVar[str] = "too_many_passed"


@dataclass(frozen=True, slots=True)
class Sent:
    """A request as a server gets it: `start` is held, `rest` is read when it is sent, once."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    start: bytes
    rest: AsyncIterator[bytes] | None

    async def body(self) -> AsyncGenerator[bytes]:
        yield self.start
        if self.rest is not None:
            async for chunk in self.rest:
                yield chunk


async def pass_on(scope: Scope, receive: Receive, send: Send) -> bool:
    """Answer with what a server answers; False where the path is not passed on, or nobody can be asked.

    Raises Unauthorized, BodyTooLarge, TooManyPassed, ServerAway.
    """
    request = Request(scope, receive)
    services: Services = request.app.state.services
    if not services.custom_routes or services.reach is None or not may_pass(scope["path"]):
        return False
    call = await identify(request)
    root, who = root_of(scope["path"]), _who(request, call)
    servers = await candidates(call, services.reach, root, who)
    if not servers:
        return False
    with _one_more(services.reach, call.caller.account_id):
        sent = await _sent(request, services.upload_limit)
        async with asyncio.timeout(WHOLE_SECONDS), _first_that_has_it(services.reach, servers, sent) as found:
            server, response = found
            if response.status not in _NO_SUCH_ROUTE:
                stick(services.reach, server, root, who)
            await _answer(response)(scope, receive, send)
    return True


def may_pass(path: str) -> bool:
    """Whether it is a path that only a pack can have."""
    root = root_of(path)
    native = dialect_of(path) is Dialect.NATIVE and is_plain(path)
    return native and bool(root) and root.lower() not in OF_COMFYUI | OF_OPERATORS


def root_of(path: str) -> str:
    """`/api/mypack/x` and `/mypack/x` -> `mypack`."""
    return path.removeprefix("/api").removeprefix("/").partition("/")[0]


def _who(request: Request, call: Call) -> str:
    """A client that has a socket has an id; one that has none is known by its account."""
    named = request.query_params.get("clientId") or request.query_params.get("client_id") or ""
    return f"{call.caller.account_id}:{named[:100]}"


@contextlib.contextmanager
def _one_more(reach: Reach, account_id: AccountId) -> Generator[None]:
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(reach.passing.held(account_id))
        except TooManyStreams:
            raise TooManyPassed("Too many requests are passed on at once: wait for one.", retry_after=1) from None
        yield


async def _sent(request: Request, limit: int) -> Sent:
    """Its first part is read here, so that a body that is too large is refused before anybody is asked."""
    chunks, start = bodies.limited(request, limit), b""
    rest: AsyncIterator[bytes] | None = chunks if _has_a_body(request) else None
    while rest is not None and len(start) < HELD_BYTES:
        chunk = await anext(chunks, b"")
        rest, start = (chunks, start + chunk) if chunk else (None, start)
    headers = {name: value for name, value in request.headers.items() if name in _SENT}
    path = request.scope["raw_path"].decode("latin-1")
    return Sent(
        request.method, path, _query(request.scope["query_string"].decode("latin-1")), headers, start, rest
    )


def _has_a_body(request: Request) -> bool:
    """RFC 9112, section 6.3: without either header there is none."""
    return request.headers.get("content-length", "0") != "0" or "transfer-encoding" in request.headers


def _query(text: str) -> str:
    """Without whatever looks like a key of ours, wherever a client wrote it."""
    kept = (part for part in text.split("&") if not rules.plausible(unquote_plus(part.partition("=")[2])))
    return "&".join(kept)


@contextlib.asynccontextmanager
async def _first_that_has_it(
    reach: Reach, servers: Sequence[Server], sent: Sent
) -> AsyncGenerator[tuple[Server, aiohttp.ClientResponse]]:
    """The answer of the first of some servers that knows the route, else of the last one. Raises ServerAway."""
    async with contextlib.AsyncExitStack() as stack:
        asked = servers[: 1 if sent.rest is not None else TRIED]
        for server in asked:
            try:
                response = await stack.enter_async_context(_asked(reach, server, sent))
            except LostServer as error:
                _log.info("server.not_passed_to", server=server.id, reason=str(error))
                if server is asked[-1] or not (error.never_sent and sent.rest is None):
                    raise ServerAway(f"The server {server.id} does not answer: {error}.", retry_after=5) from error
                continue
            if response.status not in _NO_SUCH_ROUTE or server is asked[-1]:
                yield server, response
                return
            await stack.aclose()


def _asked(
    reach: Reach, server: Server, sent: Sent
) -> contextlib.AbstractAsyncContextManager[aiohttp.ClientResponse]:
    body = None if sent.rest is None and not sent.start else sent.body()
    return reach.stream(
        server, sent.method, sent.path, query=sent.query, headers=sent.headers, body=body, idle=IDLE_SECONDS
    )


def _answer(response: aiohttp.ClientResponse) -> Streamed:
    headers = {name: value for name, value in response.headers.items() if name.lower() in _ANSWERED}
    headers |= {"Cache-Control": _kept_privately(response.headers), **_BOXED}
    return Streamed(copying(_chunks(response)), response.status, headers)


def _kept_privately(headers: Mapping[str, str]) -> str:
    """Servers know no callers and say `public` of every picture; here an answer is its caller's own."""
    said = [part.strip() for part in headers.get("Cache-Control", "no-cache").split(",")]
    kept = [part for part in said if part.partition("=")[0].lower() not in {"", "public", "private", "s-maxage"}]
    return ", ".join(["private", *kept])


async def _chunks(response: aiohttp.ClientResponse) -> AsyncGenerator[bytes]:
    with sorted_failures():
        async for chunk in response.content.iter_chunked(CHUNK):
            yield chunk
