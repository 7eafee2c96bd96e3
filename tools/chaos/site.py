"""One whole installation for one run: every part a process of its own that can be killed and comes back."""

import asyncio
import contextlib
import datetime as dt
import tempfile
from collections.abc import AsyncGenerator, Generator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp

from atelier.accounts import service as accounts
from atelier.accounts.model import Role
from atelier.entry.state import SCHEMA
from atelier.fleet import service as fleet_service
from atelier.fleet.store import roster
from atelier.kit import clock
from atelier.kit.database import Database
from atelier.kit.migrations import migrate
from tools.chaos.balancer import Balancer, balancer
from tools.chaos.fault_proxy import FaultProxy, before_database, fault_proxy
from tools.chaos.plan import Plan
from tools.chaos.postgres import Postgres, postgres
from tools.chaos.processes import Fleet, NotStarted, free_port, processes

STARTS = 6
KNOWN_SECONDS = 30.0
SETTLES = dt.timedelta(seconds=5)
"""After an outage pools of connections still find out, and requests that fell into it still end."""
DISPATCHERS = ("dispatcher-1", "dispatcher-2")
APIS = ("api-1", "api-2")
TASKS = "tasks"
PEPPER = b"pepper of a test"
"""As tools.chaos.processes sets it."""


@dataclass(slots=True)
class Span:
    """Since when something is so; `ended` None: still. Wall clock, which is that of the database, too."""

    began: dt.datetime
    ended: dt.datetime | None = None

    def meets(self, began: dt.datetime, ended: dt.datetime) -> bool:
        return self.began <= ended and (self.ended is None or self.ended >= began)


@dataclass(slots=True)
class Site:
    """`down`: processes that are dead or frozen by a deed; `complaints`: what no process may do by itself."""

    plan: Plan
    folder: Path
    fleet: Fleet
    postgres: Postgres
    database: Database
    way_to_database: FaultProxy
    balancer: Balancer
    http: aiohttp.ClientSession
    keys: Sequence[str]
    ways: dict[str, FaultProxy] = field(default_factory=dict[str, FaultProxy])
    down: set[str] = field(default_factory=set[str])
    outages: list[Span] = field(default_factory=list[Span])
    complaints: list[str] = field(default_factory=list[str])

    @property
    def servers(self) -> Sequence[str]:
        return [f"sim-{number}" for number in range(1, self.plan.servers + 1)]

    @contextlib.contextmanager
    def outage(self) -> Generator[None]:
        """While it lasts, and a moment longer, PostgreSQL is away, or slow, for everybody."""
        span = Span(clock.utcnow())
        self.outages.append(span)
        try:
            yield
        finally:
            span.ended = clock.utcnow() + SETTLES

    def database_was_hurt(self, began: dt.datetime, ended: dt.datetime) -> bool:
        return any(span.meets(began, ended) for span in self.outages)

    async def kill(self, name: str) -> None:
        self.down.add(name)
        await self.fleet.kill(name)

    async def again(self, name: str) -> None:
        """Until it is ready; one that falls into an outage of PostgreSQL is begun anew, as a supervisor would."""
        for _ in range(STARTS):
            began = clock.utcnow()
            try:
                await self.fleet.again(name)
            except NotStarted as reason:
                await self.fleet.kill(name)
                if not self.database_was_hurt(began, clock.utcnow()):
                    self.complaints.append(str(reason))
            else:
                self.down.discard(name)
                return
        self.complaints.append(f"{name} could not be started {STARTS} times")

    async def guard(self) -> None:
        """Watch until cancelled: a process that ends by itself is a complaint, and is started again."""
        while True:
            await asyncio.sleep(0.5)
            for name in [*self.fleet.processes]:
                if name not in self.down and not self.fleet.lives(name):
                    self.down.add(name)
                    self.complaints.append(f"{name} ended by itself: {self.last_words(name)}")
                    await self.again(name)

    def last_words(self, name: str) -> str:
        return self.fleet.log(name).read_text(errors="replace")[-600:]

    async def fault(self, server: str, **body: object) -> None:
        """Switch a fault of a simulated server; one that is down has none."""
        url = f"{self.fleet.urls[server]}/control/fault"
        with contextlib.suppress(aiohttp.ClientError, TimeoutError):
            async with asyncio.timeout(5), self.http.post(url, json=body) as answer:
                answer.raise_for_status()

    async def queue_remaining(self, server: str) -> int:
        async with asyncio.timeout(5), self.http.get(f"{self.fleet.urls[server]}/control/state") as answer:
            return int((await answer.json())["queue_remaining"])


def new_folder() -> Path:
    """A folder for one run: short, because sockets lie in it, and open to PostgreSQL's own user."""
    folder = Path(tempfile.mkdtemp(prefix="atelier-chaos-"))
    folder.chmod(0o755)
    (folder / "way").mkdir()
    return folder


@contextlib.asynccontextmanager
async def site(plan: Plan, folder: Path) -> AsyncGenerator[Site]:
    """Everything started, in a `new_folder`, and known to each other; all of it is gone at the end."""
    async with contextlib.AsyncExitStack() as stack:
        server = await stack.enter_async_context(postgres(folder / "postgres"))
        way, url = await stack.enter_async_context(before_database(server.url, folder / "way"))
        database = await stack.enter_async_context(_opened(server.url))
        keys = await _keys(database)
        ports = [free_port() for _ in APIS]
        front = await stack.enter_async_context(balancer(ports))
        settings = {**plan.settings, "public_url": front.url}
        fleet = await stack.enter_async_context(processes(folder, url, settings))
        http = await stack.enter_async_context(_session())
        made = Site(plan, folder, fleet, server, database, way, front, http, keys)
        await _start_servers(stack, made)
        await _start_roles(made, ports)
        await _all_known(made)
        yield made


@contextlib.asynccontextmanager
async def _opened(url: str) -> AsyncGenerator[Database]:
    database = Database(url, pool_size=4)
    await database.open()
    try:
        await migrate(database, SCHEMA)
        yield database
    finally:
        await database.close()


def _session() -> aiohttp.ClientSession:
    """One connection per request, so that the balancer sees each of them."""
    connector = aiohttp.TCPConnector(limit=0, force_close=True)
    return aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar())


async def _keys(database: Database) -> list[str]:
    """One for each of three accounts."""
    made: list[str] = []
    async with database.transaction() as tx:
        for number in range(1, 4):
            account = await accounts.create_account(tx, f"chaos-{number}")
            made.append((await accounts.create_key(tx, PEPPER, account.id, Role.MEMBER, "chaos"))[1])
    return made


async def _start_servers(stack: contextlib.AsyncExitStack, made: Site) -> None:
    plan = made.plan
    for name in made.servers:
        url = await made.fleet.simulator(name, step_seconds=plan.step_seconds, seconds_to_load=plan.load_seconds)
        way = made.ways[name] = await stack.enter_async_context(fault_proxy(url))
        async with made.database.transaction() as tx:
            await fleet_service.add(tx, way.url, server_id=name)


async def _start_roles(made: Site, ports: Sequence[int]) -> None:
    for name in DISPATCHERS:
        await made.fleet.start(name, "dispatch", dispatcher_name=name)
    for name, port in zip(APIS, ports, strict=True):
        await made.fleet.start(name, "serve", "--port", str(port))
    await made.fleet.start(TASKS, "tasks")
    for name in (*DISPATCHERS, *APIS, TASKS):
        await made.fleet.line(name)


async def _all_known(made: Site) -> None:
    """Until every server has told what it can run."""
    began = clock.monotonic()
    while clock.monotonic() - began < KNOWN_SECONDS:
        async with made.database.transaction() as tx:
            servers = await roster.servers(tx)
        if all(server.inventory_digest is not None for server in servers):
            return
        await asyncio.sleep(0.1)
    raise NotStarted(f"the dispatchers know no server: {made.last_words(DISPATCHERS[0])}")
