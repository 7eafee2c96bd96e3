"""Jobs, dispatchers and leases at will: what tests of the job's state machine need, on a real database."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from blake3 import blake3

from atelier.fleet import requirements
from atelier.fleet.model import Origin, Requirement
from atelier.fleet.store import catalogs, leasing, roster
from atelier.jobs import rules, service
from atelier.jobs.model import Claim, Event, Head, Job, JobError, Limits, Made, NewJob, Outcome, OutputKind, Wish
from atelier.jobs.store import attempts, claims, waiting
from atelier.jobs.store.waiting import Asked, Reading
from atelier.kit.database import Database, Tx
from atelier.kit.ids import AccountId, AssetId, DispatcherId, JobId, ServerId, new_uuid

SERVER = ServerId("server-1")
NOTHING = Requirement(frozenset(), frozenset())


def new_job(**given: Any) -> NewJob:
    """A job with an empty graph; `account_id` and `requirement_id` must be given."""
    usual: dict[str, Any] = {
        "id": JobId(new_uuid()),
        "dialect": "test",
        "graph_digest": blake3(b"{}").digest(),
        "graph_text": "{}",
        "lane": "",
        "shape": b"shape",
        "queue_ttl": 3600.0,
        "retention": 3600.0,
    }
    return NewJob(**(usual | given))


def made(body: bytes = b"picture", name: str = "picture_00001_.png", *, temporary: bool = False) -> Made:
    """An output whose bytes are `body`; `Yard.keep` must know them."""
    return Made(
        id=AssetId(new_uuid()),
        node_id="9",
        name=name,
        kind=OutputKind.IMAGE,
        content_type="image/png",
        size=len(body),
        hash=blake3(body).digest(),
        temporary=temporary,
    )


@dataclass(slots=True)
class Yard:
    """One account, one requirement set that everything satisfies, and shortcuts."""

    database: Database
    account_id: AccountId
    requirement_id: int

    # Jobs --------------------------------------------------------------------------------------

    def job(self, **changes: Any) -> NewJob:
        return new_job(**({"account_id": self.account_id, "requirement_id": self.requirement_id} | changes))

    async def submit(self, **changes: Any) -> Job:
        async with self.database.transaction() as tx:
            return await service.submit(tx, self.job(**changes))

    async def read(self, job_id: JobId) -> Job:
        async with self.database.transaction() as tx:
            return await service.read(tx, self.account_id, job_id)

    async def cancel(self, job_id: JobId) -> Job:
        async with self.database.transaction() as tx:
            return await service.cancel(tx, self.account_id, job_id)

    async def events(self, job_id: JobId) -> list[Event]:
        async with self.database.transaction() as tx:
            return await service.events_after(tx, self.account_id, job_id, 0)

    async def running(self, claim: Claim) -> bool:
        async with self.database.autocommit() as tx:
            return await attempts.running(tx, claim)

    async def fail(self, claim: Claim, code: str = "node_execution_error") -> bool:
        async with self.database.transaction() as tx:
            return await service.finish_failed(tx, claim, Outcome.FAILED, JobError(code, "It failed."))

    async def keep(self, *bodies: bytes) -> None:
        """Make the bytes known, as storing them does."""
        async with self.database.transaction() as tx:
            for body in bodies:
                await tx.execute(
                    "INSERT INTO blobs (hash, size) VALUES (%s, %s) ON CONFLICT DO NOTHING",
                    (blake3(body).digest(), len(body)),
                )

    # Servers and leases ------------------------------------------------------------------------

    async def server(self, server_id: str = SERVER) -> ServerId:
        async with self.database.transaction() as tx:
            await roster.put(tx, ServerId(server_id), f"http://{server_id}:8188", {}, Origin.ADDED)
        return ServerId(server_id)

    async def beat(self, me: DispatcherId, seconds: float = 60) -> None:
        async with self.database.transaction() as tx:
            await leasing.beat(tx, me, "test", seconds)

    async def dispatcher(self, most: int = 10, seconds: float = 60) -> DispatcherId:
        """A dispatcher that lives for `seconds` and has taken at most `most` leases."""
        me = DispatcherId(new_uuid())
        await self.beat(me, seconds)
        await self.acquire(me, most)
        return me

    async def acquire(self, me: DispatcherId, most: int = 10) -> None:
        async with self.database.transaction() as tx:
            await leasing.acquire(tx, me, most)

    async def leave(self, me: DispatcherId) -> None:
        async with self.database.transaction() as tx:
            await leasing.leave(tx, me)

    async def fences(self, me: DispatcherId) -> dict[ServerId, int]:
        async with self.database.transaction() as tx:
            return {lease.server.id: lease.fence for lease in await leasing.leases(tx, me)}

    async def dispatcher_with_server(self) -> DispatcherId:
        await self.server()
        return await self.dispatcher()

    # Claims ------------------------------------------------------------------------------------

    async def wish(self, me: DispatcherId, job_id: JobId, server_id: str = SERVER, number: int = 1) -> Wish:
        fence = (await self.fences(me)).get(ServerId(server_id), 0)
        return Wish(job_id, number, rules.prompt_id(job_id, number), ServerId(server_id), fence)

    async def reading(self, **asked: Any) -> Reading:
        """What waits, read for one free server where nothing else is said."""
        async with self.database.autocommit() as tx:
            usual: dict[str, Any] = {"slots": 1}
            return await waiting.read(tx, Asked(**(usual | asked)))

    async def heads(self, **asked: Any) -> list[Head]:
        """The jobs of a reading by class and age."""
        reading = await self.reading(**asked)
        return sorted(reading.heads, key=lambda head: (-head.priority, head.position))

    async def take(self, me: DispatcherId, *wishes: Wish) -> list[Claim]:
        async with self.database.autocommit() as tx:
            return await claims.claim(tx, me, wishes)

    async def take_within(self, me: DispatcherId, limits: Limits, *wishes: Wish) -> list[Claim]:
        async with self.database.transaction() as tx:
            return await claims.claim_within(tx, me, wishes, limits)

    async def claim(self, me: DispatcherId, job_id: JobId, server_id: str = SERVER, number: int = 1) -> Claim:
        [claim] = await self.take(me, await self.wish(me, job_id, server_id, number))
        return claim

    async def claimed(self, me: DispatcherId, *, running: bool = False, **changes: Any) -> Claim:
        """A job that was just submitted, claimed for the first server."""
        claim = await self.claim(me, (await self.submit(**changes)).id)
        if running:
            assert await self.running(claim)
        return claim

    # Looking inside ----------------------------------------------------------------------------

    async def rows(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        async with self.database.transaction() as tx:
            return await (await tx.execute(query.encode(), values)).fetchall()

    async def value(self, query: str, *values: object) -> Any:
        [[value]] = await self.rows(query, *values)
        return value

    async def run(self, statement: str, *values: object) -> None:
        async with self.database.transaction() as tx:
            await tx.execute(statement.encode(), values)

    async def hold(self, job_id: JobId) -> tuple[str, int]:
        [(state, captured)] = await self.rows("SELECT state, captured FROM holds WHERE job_id = %s", job_id)
        return state, captured


async def make_yard(database: Database) -> Yard:
    account_id = AccountId(new_uuid())
    async with database.transaction() as tx:
        await tx.execute("INSERT INTO accounts (id, name) VALUES (%s, 'tester')", (account_id,))
        digest = requirements.digest_of(NOTHING)
        requirement_id = await catalogs.requirement_id(tx, digest, NOTHING)
    return Yard(database, account_id, requirement_id)


async def requirement(database: Database, *classes: str) -> int:
    """The id of a requirement set of these node classes."""
    wanted = Requirement(frozenset(classes), frozenset())
    async with database.transaction() as tx:
        return await catalogs.requirement_id(tx, requirements.digest_of(wanted), wanted)


def kinds(events: Sequence[Event]) -> list[str]:
    """Events as short words: `queued`, `running`, `output`, `retry`…"""
    return [str(event.data["state"]) if event.kind == "status" else event.kind for event in events]


async def blocked(tx: Tx, pid: int) -> None:
    """Wait until the server process `pid` waits for a lock."""
    async with asyncio.timeout(10):
        while True:
            row = await (await tx.execute("SELECT cardinality(pg_blocking_pids(%s)) > 0", (pid,))).fetchone()
            if row and row[0]:
                return
            await asyncio.sleep(0.01)
