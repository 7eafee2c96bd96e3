"""A fleet in a real database whose dispatcher is played by the test: every server has what the test says."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from atelier.fleet import requirements, service
from atelier.fleet.inventory import from_object_info
from atelier.fleet.model import Health, ModelRef, Requirement
from atelier.fleet.scene import Limits
from atelier.fleet.store import catalogs, measures, roster
from atelier.fleet.store.roster import WarmNow
from atelier.jobs import service as jobs
from atelier.jobs.model import Cause, Claim, Job
from atelier.jobs.outlook import Outlook, Prospect
from atelier.kit.ids import DispatcherId, JobId, ServerId, new_uuid
from support.yard import Yard

SHAPE = b"shape"
RUN = 40.0


def checkpoint_loader(*files: str) -> dict[str, Any]:
    return {
        "CheckpointLoaderSimple": {
            "input": {"required": {"ckpt_name": [list(files), {}]}},
            "output": ["MODEL"],
            "output_node": False,
        }
    }


@dataclass(slots=True)
class Site:
    """`limits` are what the outlook is told. A run takes forty seconds everywhere, once `measured`."""

    yard: Yard
    limits: Limits = field(default_factory=Limits)
    me: DispatcherId = field(default_factory=lambda: DispatcherId(new_uuid()))

    # Servers -----------------------------------------------------------------------------------

    async def server(self, server_id: str, *files: str, **terms: Any) -> None:
        """A server that is well, has these checkpoints and is driven by our dispatcher."""
        await self.silent_server(server_id)
        inventory = from_object_info(checkpoint_loader(*files))
        async with self.yard.database.transaction() as tx:
            await catalogs.save_inventory(tx, ServerId(server_id), inventory, {})
            await roster.save_health(tx, ServerId(server_id), Health.READY, "")
            if terms:
                await service.change(tx, ServerId(server_id), terms)

    async def silent_server(self, server_id: str) -> None:
        """A server that nobody has heard of yet."""
        await self.yard.server(server_id)
        await self.yard.beat(self.me)
        await self.yard.acquire(self.me)

    async def change(self, server_id: str, **terms: Any) -> None:
        async with self.yard.database.transaction() as tx:
            await service.change(tx, ServerId(server_id), terms)

    async def health(self, server_id: str, health: Health, reason: str = "") -> None:
        async with self.yard.database.transaction() as tx:
            await roster.save_health(tx, ServerId(server_id), health, reason)

    async def quarantine(self, server_id: str, reason: str) -> None:
        fence = (await self.yard.fences(self.me))[ServerId(server_id)]
        async with self.yard.database.transaction() as tx:
            assert await roster.quarantine(tx, ServerId(server_id), fence, reason, {})

    async def remove(self, server_id: str) -> None:
        async with self.yard.database.transaction() as tx:
            await service.remove(tx, ServerId(server_id))

    async def warm(self, server_id: str, *lanes: str, stay: float = 0.0) -> None:
        fence = (await self.yard.fences(self.me))[ServerId(server_id)]
        async with self.yard.database.transaction() as tx:
            await roster.save_warm(tx, [WarmNow(ServerId(server_id), fence, lanes, stay)])

    async def measured(self, *server_ids: str, seconds: float = RUN) -> None:
        async with self.yard.database.transaction() as tx:
            await measures.save_run_times(tx, {(SHAPE, ServerId(name)): seconds for name in server_ids})

    # Jobs --------------------------------------------------------------------------------------

    async def submit(self, *files: str, **given: Any) -> Job:
        """A job that needs these checkpoints."""
        refs = frozenset(ModelRef("CheckpointLoaderSimple", "ckpt_name", name) for name in files)
        wanted = Requirement(frozenset({"CheckpointLoaderSimple"}), refs)
        async with self.yard.database.transaction() as tx:
            requirement_id = await catalogs.requirement_id(tx, requirements.digest_of(wanted), wanted)
        usual: dict[str, Any] = {"requirement_id": requirement_id, "lane": "|".join(sorted(files)), "shape": SHAPE}
        return await self.yard.submit(**(usual | given))

    async def claim(self, job: Job, server_id: str = "gpu-1", number: int = 1) -> Claim:
        return await self.yard.claim(self.me, job.id, server_id, number)

    async def runs(self, server_id: str = "gpu-1", *files: str, **given: Any) -> Claim:
        """A job that begins there at this moment."""
        claim = await self.claim(await self.submit(*files, **given), server_id)
        assert await self.yard.running(claim)
        return claim

    async def lose(self, claim: Claim, cause: Cause = Cause.SERVER_LOST) -> None:
        async with self.yard.database.transaction() as tx:
            await jobs.finish_retriable(tx, claim, cause, was_running=True)

    async def ripen(self) -> None:
        """The wait before the next try is over."""
        await self.yard.run("UPDATE jobs SET not_before = now() WHERE state = 'queued'")

    # What is told ------------------------------------------------------------------------------

    async def told(self, job_id: JobId) -> Prospect:
        """By an outlook that has not looked before."""
        async with self.yard.database.transaction() as tx:
            return await Outlook(limits=self.limits).of(tx, await self._read(job_id))

    async def why(self, job: Job) -> str:
        return (await self.told(job.id)).reason

    async def places(self, asked: Sequence[Job]) -> list[int | None]:
        """All by one outlook."""
        outlook = Outlook(limits=self.limits)
        async with self.yard.database.transaction() as tx:
            return [(await outlook.of(tx, await self._read(job.id))).position for job in asked]

    async def _read(self, job_id: JobId) -> Job:
        [(account_id,)] = await self.yard.rows("SELECT account_id FROM jobs WHERE id = %s", job_id)
        async with self.yard.database.transaction() as tx:
            return await jobs.read(tx, account_id, job_id)
