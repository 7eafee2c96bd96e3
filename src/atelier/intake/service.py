"""The one way in for every dialect: the graph is resolved and judged, then the job is accepted in one transaction.

Whatever is refused here was refused before anything was written or charged.
"""

import asyncio
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from atelier.accounts.model import DEFAULT_PRIORITY, Caller
from atelier.assets import service as assets
from atelier.comfy.assets import ASSET_TYPE
from atelier.comfy.graph import Graph, MalformedAsset, assets_in, canonical, digest, parse, shape_digest
from atelier.fleet.model import Requirement
from atelier.fleet.requirements import digest_of, lane_of, requirement_of
from atelier.fleet.view import FleetView
from atelier.intake.rules import check_files
from atelier.jobs import service as jobs
from atelier.jobs.model import IdempotencyKey, Job, NewJob
from atelier.kit.database import Database, Tx
from atelier.kit.ids import AssetId, JobId, new_uuid
from atelier.kit.wakeups import Wakeups
from atelier.storage.threads import in_thread

LARGE_BYTES = 200_000
"""A graph of a smaller request is judged within some 10 ms."""
PATIENCE_SECONDS = 20.0


@dataclass(frozen=True, slots=True)
class Order:
    """What a dialect understood of a request. `workflow` is parsed JSON; `secrets` go to the server alone.

    `size` is how many bytes the request had. `priority` (1-10) None: nothing was said.
    """

    workflow: object
    dialect: str
    metadata: Mapping[str, str] = field(default_factory=dict[str, str])
    secrets: Mapping[str, str] | None = None
    idempotency: IdempotencyKey | None = None
    priority: int | None = None
    native_prompt_id: uuid.UUID | None = None
    size: int = 0
    run_timeout: float | None = None
    retry_of: JobId | None = None


@dataclass(frozen=True, slots=True)
class _Judged:
    """A graph that some server could run, as far as is known, and what follows from it."""

    graph: Graph
    text: str
    digest: bytes
    shape: bytes
    requirement: Requirement
    lane: str
    inputs: tuple[AssetId, ...]


@dataclass(frozen=True, slots=True)
class Intake:
    """`queue_ttl` and `retention` in seconds."""

    database: Database
    fleet: FleetView
    wakeups: Wakeups
    bounds: jobs.QueueBounds
    queue_ttl: float
    retention: float
    large: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(1))

    async def submit(self, caller: Caller, order: Order) -> Job:
        """Accept a job, or raise and have written nothing.

        Raises InvalidWorkflow, WorkflowFormatUi, MissingAssets, NobodyCanRun, QueueFull, IdempotencyKeyReused.
        """
        job = await self.prepare(caller, order)
        accepted = await self._accept(job)
        self.wakeups.publish("queue")
        return accepted

    async def prepare(self, caller: Caller, order: Order) -> NewJob:
        """The job that this order would become; nothing is written. A class above the caller's is lowered to it.

        Raises InvalidWorkflow, WorkflowFormatUi, MissingAssets, NobodyCanRun, QueueFull.
        """
        judged = await self._judged(order)
        priority = min(order.priority or DEFAULT_PRIORITY, caller.max_priority)
        requirement_id = await self.fleet.requirement_id(digest_of(judged.requirement), judged.requirement)
        return NewJob(
            id=JobId(new_uuid()),
            account_id=caller.account_id,
            end_user=caller.end_user,
            dialect=order.dialect,
            graph_digest=judged.digest,
            graph_text=judged.text,
            requirement_id=requirement_id,
            lane=judged.lane,
            shape=judged.shape,
            queue_ttl=self.queue_ttl,
            retention=self.retention,
            priority=priority,
            wished_priority=order.priority if order.priority is not None and order.priority > priority else None,
            native_prompt_id=order.native_prompt_id,
            metadata=order.metadata,
            secrets=order.secrets,
            idempotency=order.idempotency,
            inputs=judged.inputs,
            run_timeout=order.run_timeout,
            retry_of=order.retry_of,
        )

    async def accept(self, tx: Tx, job: NewJob) -> Job:
        """Write a prepared job in the caller's transaction. Wake `queue` after the commit.

        Raises QueueFull, MissingAssets, IdempotencyKeyReused.
        """
        await self.bounds.check(tx, job.account_id)
        await assets.named(tx, job.account_id, job.inputs)
        return await jobs.submit(tx, job)

    async def _judged(self, order: Order) -> _Judged:
        """A large graph takes up to a second: in a thread, one at a time, so that others are served."""
        if order.size <= LARGE_BYTES:
            return self._judge(order.workflow)
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                await self.large.acquire()
        except TimeoutError:
            raise jobs.QueueFull("Many large workflows have come at once.", retry_after=5) from None
        try:
            return await in_thread(self._judge, order.workflow)
        finally:
            self.large.release()

    def _judge(self, workflow: object) -> _Judged:
        graph = parse(workflow)
        known = tuple(self.fleet.inventories())
        check_files(graph, [inventory.classes for inventory in known])
        requirement, lane = requirement_of(graph, known), lane_of(graph, known)
        inputs = _inputs(graph)
        self.fleet.judge(requirement, graph, _is_asset)
        return _Judged(graph, canonical(graph), digest(graph), shape_digest(graph), requirement, lane, inputs)

    async def _accept(self, job: NewJob) -> Job:
        """One statement; with inputs one transaction, in which nobody can delete them."""
        opened = self.database.transaction() if job.inputs else self.database.autocommit()
        async with opened as tx:
            return await self.accept(tx, job)


def _inputs(graph: Graph) -> tuple[AssetId, ...]:
    references = assets_in(graph)
    malformed = [reference.path for reference in references if isinstance(reference, MalformedAsset)]
    if malformed:
        raise assets.MissingAssets(malformed)
    ids = {reference.id for reference in references if not isinstance(reference, MalformedAsset)}
    return tuple(AssetId(uuid.UUID(asset_id)) for asset_id in sorted(ids))


def _is_asset(_class_type: str, _input_name: str, value: Any) -> bool:
    return isinstance(value, dict) and ASSET_TYPE in value.values()
