"""The one way in for every dialect: the graph is resolved and judged, then the job is accepted in one transaction.

Whatever is refused here was refused before anything was written or charged.
"""

import asyncio
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from atelier.accounts.model import DEFAULT_PRIORITY, Caller
from atelier.assets import service as assets
from atelier.comfy.assets import ASSET_TYPE
from atelier.comfy.graph import Graph, MalformedAsset, assets_in, canonical, digest, parse
from atelier.fleet.requirements import digest_of
from atelier.fleet.view import FleetView
from atelier.intake.needs import Needs, needs_of
from atelier.intake.rules import check_files
from atelier.jobs import service as jobs
from atelier.jobs.model import IdempotencyKey, Job, NewJob
from atelier.jobs.prompt import Prompt
from atelier.jobs.recipe import Recipe
from atelier.kit.database import Database, Tx
from atelier.kit.ids import AccountId, AssetId, JobId, new_uuid
from atelier.kit.wakeups import Wakeups
from atelier.storage.threads import in_thread

LARGE_BYTES = 200_000
"""A graph of a smaller request is judged within some 10 ms."""
PATIENCE_SECONDS = 20.0

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Order:
    """What a dialect understood of a request. `workflow` is parsed JSON; `secrets` go to the server alone.

    `size` is how many bytes the request had. `priority` (1-10) None: nothing was said. `price` in milli-credits.
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
    number: float | None = None
    front: bool = False
    prompt: Prompt | None = None
    recipe: Recipe | None = None
    price: int = 0


@dataclass(frozen=True, slots=True)
class Judged:
    """A graph that some server could run, as far as is known, and what follows from it."""

    graph: Graph
    text: str
    digest: bytes
    needs: Needs
    inputs: tuple[AssetId, ...]


def judged(graph: Graph, needs: Needs) -> Judged:
    """Raises MissingAssets for references that name none."""
    return Judged(graph, canonical(graph), digest(graph), needs, inputs_of(graph))


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

        Raises InvalidWorkflow, WorkflowFormatUi, MissingAssets, NobodyCanRun, QueueFull, IdempotencyKeyReused,
        DuplicatePrompt.
        """
        return await self.enter(await self.prepare(caller, order))

    async def enter(self, job: NewJob) -> Job:
        """Write a prepared job and wake who waits for one. Raises as `accept`.

        It is one statement; with inputs one transaction, in which nobody can delete them.
        """
        opened = self.database.transaction() if job.inputs else self.database.autocommit()
        async with opened as tx:
            accepted = await self.accept(tx, job)
        self.told(job.account_id)
        return accepted

    def told(self, account_id: AccountId) -> None:
        """A job of this account was committed."""
        self.wakeups.publish("queue")
        self.wakeups.publish(f"account:{account_id}")

    async def prepare(self, caller: Caller, order: Order) -> NewJob:
        """The job that this order would become; nothing is written. A class above the caller's is lowered to it.

        Raises InvalidWorkflow, WorkflowFormatUi, MissingAssets, NobodyCanRun, QueueFull.
        """
        return await self.drawn_up(caller, order, await self.judged(order))

    async def judged(self, order: Order) -> Judged:
        """The order's graph, if some server could run it. Raises as `prepare`."""
        return await self.thought(order.size, lambda: self._judge(order))

    async def drawn_up(self, caller: Caller, order: Order, judged: Judged) -> NewJob:
        """The job for a graph that was judged. A requirement set that is new is written down."""
        requirement = judged.needs.requirement
        requirement_id = await self.fleet.requirement_id(digest_of(requirement), requirement)
        priority = min(order.priority or DEFAULT_PRIORITY, caller.max_priority)
        return NewJob(
            id=JobId(new_uuid()),
            account_id=caller.account_id,
            end_user=caller.end_user,
            dialect=order.dialect,
            graph_digest=judged.digest,
            graph_text=judged.text,
            requirement_id=requirement_id,
            lane=judged.needs.lane,
            shape=judged.needs.shape,
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
            number=order.number,
            front=order.front,
            prompt=order.prompt,
            recipe=order.recipe,
            price=order.price,
        )

    async def accept(self, tx: Tx, job: NewJob) -> Job:
        """Write a prepared job in the caller's transaction. Call `told` after the commit.

        Raises QueueFull, MissingAssets, IdempotencyKeyReused, DuplicatePrompt.
        """
        await self.bounds.check(tx, job.account_id)
        await assets.named(tx, job.account_id, job.inputs)
        return await jobs.submit(tx, job)

    async def accept_many(self, tx: Tx, many: Sequence[NewJob]) -> list[Job]:
        """As `accept`, for jobs of one account that all have a recipe: all of them are accepted, or none is."""
        if not many:
            return []
        account_id = many[0].account_id
        await self.bounds.check(tx, account_id, len(many))
        await assets.named(tx, account_id, {asset_id for job in many for asset_id in job.inputs})
        return await jobs.submit_many(tx, many)

    async def thought(self, size: int, about: Callable[[], T]) -> T:
        """What this gives for a request of `size` bytes. Raises QueueFull.

        A large graph takes up to a second: in a thread, one at a time, so that others are served.
        """
        if size <= LARGE_BYTES:
            return about()
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                await self.large.acquire()
        except TimeoutError:
            raise jobs.QueueFull("Many large workflows have come at once.", retry_after=5) from None
        try:
            return await in_thread(about)
        finally:
            self.large.release()

    def _judge(self, order: Order) -> Judged:
        graph = parse(order.workflow)
        known = tuple(self.fleet.inventories())
        check_files(graph, [inventory.classes for inventory in known])
        needs = needs_of(graph, known, order.prompt.outputs if order.prompt else ())
        found = judged(graph, needs)
        self.fleet.judge(needs.requirement, graph, is_asset)
        return found


def inputs_of(graph: Graph) -> tuple[AssetId, ...]:
    """The assets that a graph names. Raises MissingAssets for references that name none."""
    references = assets_in(graph)
    malformed = [reference.path for reference in references if isinstance(reference, MalformedAsset)]
    if malformed:
        raise assets.MissingAssets(malformed)
    ids = {reference.id for reference in references if not isinstance(reference, MalformedAsset)}
    return tuple(AssetId(uuid.UUID(asset_id)) for asset_id in sorted(ids))


def is_asset(_class_type: str, _input_name: str, value: Any) -> bool:
    """Whether a value stands for a file, which no server has to offer."""
    return isinstance(value, dict) and ASSET_TYPE in value.values()
