"""The one way in for every dialect: the graph is resolved and judged, then the job is accepted in one transaction.

Whatever is refused here was refused before anything was written or charged.
"""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from atelier.accounts.model import Caller
from atelier.assets import service as assets
from atelier.comfy.assets import ASSET_TYPE
from atelier.comfy.graph import Graph, MalformedAsset, assets_in, canonical, digest, parse, shape_digest
from atelier.fleet.requirements import digest_of, lane_of, requirement_of
from atelier.fleet.view import FleetView
from atelier.intake.rules import check_files
from atelier.jobs import service as jobs
from atelier.jobs.model import IdempotencyKey, Job, NewJob
from atelier.kit.database import Database
from atelier.kit.ids import AssetId, JobId, new_uuid
from atelier.kit.wakeups import Wakeups


@dataclass(frozen=True, slots=True)
class Order:
    """What a dialect understood of a request. `workflow` is parsed JSON; `secrets` go to the server alone."""

    workflow: object
    dialect: str
    metadata: Mapping[str, str] = field(default_factory=dict[str, str])
    secrets: Mapping[str, str] | None = None
    idempotency: IdempotencyKey | None = None
    priority: int = 5
    native_prompt_id: uuid.UUID | None = None


@dataclass(frozen=True, slots=True)
class Intake:
    """`queue_ttl` and `retention` in seconds."""

    database: Database
    fleet: FleetView
    wakeups: Wakeups
    bounds: jobs.QueueBounds
    queue_ttl: float
    retention: float

    async def submit(self, caller: Caller, order: Order) -> Job:
        """Accept a job, or raise and have written nothing.

        Raises InvalidWorkflow, WorkflowFormatUi, MissingAssets, NobodyCanRun, QueueFull, IdempotencyKeyReused.
        """
        graph = parse(order.workflow)
        check_files(graph, (inventory.classes for inventory in self.fleet.inventories()))
        inputs = _inputs(graph)
        requirement = requirement_of(graph)
        self.fleet.judge(requirement, graph, _is_asset)
        requirement_id = await self.fleet.requirement_id(digest_of(requirement), requirement)
        job = NewJob(
            id=JobId(new_uuid()),
            account_id=caller.account_id,
            end_user=caller.end_user,
            dialect=order.dialect,
            graph_digest=digest(graph),
            graph_text=canonical(graph),
            requirement_id=requirement_id,
            lane=lane_of(graph),
            shape=shape_digest(graph),
            queue_ttl=self.queue_ttl,
            retention=self.retention,
            priority=order.priority,
            native_prompt_id=order.native_prompt_id,
            metadata=order.metadata,
            secrets=order.secrets,
            idempotency=order.idempotency,
            inputs=inputs,
        )
        accepted = await self._accept(job)
        self.wakeups.publish("queue")
        return accepted

    async def _accept(self, job: NewJob) -> Job:
        """One statement; with inputs one transaction, in which nobody can delete them."""
        if not job.inputs:
            async with self.database.autocommit() as connection:
                await self.bounds.check(connection, job.account_id)
                return await jobs.submit(connection, job)
        async with self.database.transaction() as tx:
            await self.bounds.check(tx, job.account_id)
            await assets.named(tx, job.account_id, job.inputs)
            return await jobs.submit(tx, job)


def _inputs(graph: Graph) -> tuple[AssetId, ...]:
    references = assets_in(graph)
    malformed = [reference.path for reference in references if isinstance(reference, MalformedAsset)]
    if malformed:
        raise assets.MissingAssets(malformed)
    ids = {reference.id for reference in references if not isinstance(reference, MalformedAsset)}
    return tuple(AssetId(uuid.UUID(asset_id)) for asset_id in sorted(ids))


def _is_asset(_class_type: str, _input_name: str, value: Any) -> bool:
    return isinstance(value, dict) and ASSET_TYPE in value.values()
