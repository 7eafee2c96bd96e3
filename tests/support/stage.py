"""A dispatcher's part, played by the test: one leased server on which jobs begin, progress and end on demand."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from atelier.assets import service as assets
from atelier.fleet.model import Origin
from atelier.fleet.store import leasing, roster
from atelier.jobs import rules, service
from atelier.jobs.model import Cause, Claim, JobError, Made, Outcome, OutputKind, Preview, Progress, Wish
from atelier.jobs.prompt import Report
from atelier.jobs.store import attempts, claims, live
from atelier.kit.database import Database
from atelier.kit.ids import AssetId, DispatcherId, JobId, ServerId, new_uuid
from atelier.kit.wakeups import Wakeups
from atelier.storage.model import Storage


@dataclass
class Stage:
    database: Database
    wakeups: Wakeups
    storage: Storage
    dispatcher: DispatcherId = field(default_factory=lambda: DispatcherId(new_uuid()))

    async def claim(self, job_id: JobId, number: int = 1) -> Claim:
        """Attempt `number` of the job on the leased server."""
        async with self.database.transaction() as tx:
            await roster.put(tx, ServerId("stage"), "http://127.0.0.1:1", {}, Origin.ADDED)
            await leasing.beat(tx, self.dispatcher, "test", 60)
            await leasing.acquire(tx, self.dispatcher, 10)
            [lease] = await leasing.leases(tx, self.dispatcher)
            wish = Wish(job_id, number, rules.prompt_id(job_id, number), lease.server.id, lease.fence)
            [claim] = await claims.claim(tx, self.dispatcher, [wish])
        self._told(claim)
        return claim

    async def start(self, job_id: JobId, number: int = 1) -> Claim:
        claim = await self.claim(job_id, number)
        await self.begin(claim)
        return claim

    async def begin(self, claim: Claim) -> None:
        async with self.database.transaction() as tx:
            assert await attempts.running(tx, claim)
        self._told(claim)

    async def progress(self, claim: Claim, value: float) -> None:
        shown = Progress(value, 1, 3, "3", "KSampler", 5, 20, "KSampler 5/20")
        async with self.database.transaction() as tx:
            await live.save_progress(tx, [(claim.job_id, int(value * 100), shown.as_json())])
        self._told(claim)

    async def preview(self, claim: Claim, seq: int, body: bytes) -> None:
        async with self.database.transaction() as tx:
            await live.save_preview(tx, claim.job_id, Preview(seq, "3", "image/jpeg", body))
        self._told(claim)

    async def succeed(
        self, claim: Claim, bodies: Sequence[bytes] = (b"picture",), report: Report | None = None
    ) -> list[AssetId]:
        """End the job with one output per body, and with what its server told."""
        made: list[Made] = []
        for number, body in enumerate(bodies, 1):
            received = await assets.receive_bytes(self.database, self.storage, body)
            made.append(
                Made(
                    id=AssetId(new_uuid()),
                    node_id="9",
                    name=f"ComfyUI_{number:05}_.png",
                    kind=OutputKind.IMAGE,
                    content_type="image/png",
                    size=len(body),
                    hash=received.hash,
                )
            )
        assert await service.succeed(self.database, claim, made, report=report)
        self._told(claim)
        return [one.id for one in made]

    async def fail(self, claim: Claim, report: Report | None = None) -> None:
        error = JobError("node_execution_error", "boom", "3", "KSampler", "line 1\nline 2")
        async with self.database.transaction() as tx:
            assert await service.finish_failed(tx, claim, Outcome.FAILED, error, report=report)
        self._told(claim)

    async def break_off(self, claim: Claim) -> None:
        """Its server was told to stop it, and did."""
        error = JobError("interrupted", "stopped")
        async with self.database.transaction() as tx:
            assert await service.finish_failed(tx, claim, Outcome.FAILED, error, {"server": claim.server_id})
        self._told(claim)

    async def lose(self, claim: Claim) -> None:
        async with self.database.transaction() as tx:
            await service.finish_retriable(tx, claim, Cause.SERVER_LOST, was_running=True)
        self._told(claim)

    async def let_go(self, claim: Claim) -> None:
        async with self.database.transaction() as tx:
            assert await service.finish_canceled(tx, claim)
        self._told(claim)

    async def is_watched(self) -> bool:
        """Whether somebody asks for previews now."""
        async with self.database.autocommit() as tx:
            rows = await tx.execute("SELECT 1 FROM job_watches WHERE until > now()")
            return await rows.fetchone() is not None

    def _told(self, claim: Claim) -> None:
        self.wakeups.publish(f"job:{claim.job_id}")
