"""Jobs that would make the same, in a real installation without a dispatcher: the test plays the servers."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from blake3 import blake3

from atelier.assets import service as assets
from atelier.fleet.view import FleetView
from atelier.intake.results import Policy, Results
from atelier.intake.service import Intake
from atelier.jobs import service as jobs
from atelier.jobs.cached import Twins
from atelier.jobs.model import Event, Job, NewJob
from atelier.jobs.recipe import Recipe
from atelier.kit.database import Database
from atelier.kit.ids import AccountId, AssetId, JobId, new_uuid
from atelier.kit.wakeups import Wakeups
from atelier.storage.model import Storage
from support.stage import Stage
from support.yard import Yard, make_yard

SUNSET = blake3(b"a sunset").digest()
FOREST = blake3(b"a forest").digest()


def recipe(key: bytes | None = SUNSET, **given: Any) -> Recipe:
    usual: dict[str, Any] = {
        "workflow": "sunset",
        "workflow_key": 1,
        "revision": 1,
        "version": "1.0.0",
        "cache_key": key,
    }
    return Recipe(**(usual | given))


@dataclass
class House:
    """`stage` runs what waits; `twins` settles who waits for it, one round at a time."""

    yard: Yard
    storage: Storage
    stage: Stage
    intake: Intake
    wakeups: Wakeups
    policy: Policy = field(default_factory=Policy)

    @property
    def results(self) -> Results:
        return Results(self.intake, self.storage, self.policy)

    @property
    def twins(self) -> Twins:
        return Twins(self.yard.database, self.storage, self.wakeups, self.policy.part)

    def job(self, key: bytes | None = SUNSET, *, batch_id: Any = None, **changes: Any) -> NewJob:
        return self.yard.job(**({"price": 1000, "recipe": recipe(key, batch_id=batch_id)} | changes))

    async def enter(self, key: bytes | None = SUNSET, **changes: Any) -> Job:
        return await self.results.enter(self.job(key, **changes))

    async def enter_many(self, *keys: bytes | None, **changes: Any) -> list[Job]:
        return await self.results.enter_many([self.job(key, **changes) for key in keys])

    async def made(self, key: bytes = SUNSET, bodies: Sequence[bytes] = (b"picture",), **changes: Any) -> Job:
        """A job of the key that ran and has these files."""
        job = await self.enter(key, **changes)
        await self.run(job, bodies)
        return await self.read(job.id, changes.get("account_id"))

    async def run(self, job: Job, bodies: Sequence[bytes] = (b"picture",)) -> list[AssetId]:
        return await self.stage.succeed(await self.stage.start(job.id), bodies)

    async def fail(self, job: Job) -> None:
        await self.stage.fail(await self.stage.start(job.id))

    async def settle(self) -> None:
        """Rounds until nothing is left to settle."""
        for _ in range(10):
            if not await self.twins.settle():
                return
        raise AssertionError("settling never ends")

    async def read(self, job_id: JobId, account_id: AccountId | None = None) -> Job:
        async with self.yard.database.transaction() as tx:
            return await jobs.read(tx, account_id or self.yard.account_id, job_id)

    async def states(self, many: Sequence[Job]) -> list[str]:
        return [str((await self.read(job.id, job.account_id)).state) for job in many]

    async def leader_of(self, job: Job) -> JobId | None:
        [(leader_id,)] = await self.yard.rows("SELECT leader_id FROM job_recipes WHERE job_id = %s", job.id)
        return JobId(leader_id) if leader_id else None

    async def body_of(self, job: Job) -> list[bytes]:
        """What the job's own account reads of its files."""
        async with self.yard.database.transaction() as tx:
            found = [await assets.get(tx, job.account_id, output.id) for output in job.outputs]
        bodies = [await assets.stream(self.storage, asset) for asset in found]
        return [b"".join([chunk async for chunk in body.chunks]) for body in bodies]

    async def events(self, job: Job) -> list[Event]:
        return await self.yard.events(job.id)

    async def account(self) -> AccountId:
        """Another one."""
        account_id = AccountId(new_uuid())
        await self.yard.run("INSERT INTO accounts (id, name) VALUES (%s, %s)", account_id, str(account_id))
        return account_id

    async def runs(self) -> int:
        """How many jobs of any key wait for a server, or are on one."""
        return int(
            await self.yard.value("SELECT count(*) FROM jobs WHERE state IN ('queued', 'claimed', 'running')")
        )


async def make_house(database: Database, storage: Storage) -> House:
    wakeups = Wakeups(database)
    intake = Intake(database, FleetView(database, wakeups), wakeups, jobs.QueueBounds(5000, 2000), 3600.0, 7200.0)
    return House(await make_yard(database), storage, Stage(database, wakeups, storage), intake, wakeups)
