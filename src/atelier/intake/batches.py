"""A batch is accepted at once: what is wrong with an item refuses that item alone, and all the others run.

All of its jobs are written by one transaction with the batch itself, so a batch is there whole or not at all.
"""

import asyncio
import dataclasses
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from atelier.accounts.model import Caller
from atelier.assets.model import Asset
from atelier.assets.service import MissingAssets
from atelier.intake.asking import Asked
from atelier.intake.expanding import Form, InvalidBatch, ItemAsked, check_size, expanded, merged
from atelier.intake.generation import Generation
from atelier.intake.inputs import Inputs, Receipts
from atelier.intake.named_files import InvalidInput, Named, Stored
from atelier.jobs import batches
from atelier.jobs.batches import Batch, NewBatch, RefusedItem
from atelier.jobs.model import NewJob
from atelier.jobs.recipe import Webhook
from atelier.kit.database import Tx
from atelier.kit.errors import Kind, Refusal
from atelier.kit.ids import AccountId, new_uuid

AT_ONCE = 8
"""Items that are drawn up at the same time: while one waits for its file, others go on."""

HOPELESS = 50
"""When so many items were refused before one was good, the rest is not looked at."""

MOST_RECEIVED = 200
"""Different files that one batch brings; assets that are there already do not count."""

MOST_DETAILS = 4000
"""Characters of what a refusal adds that are kept for each item."""

_OF_THE_ITEM = frozenset({Kind.INVALID, Kind.NOT_FOUND, Kind.UNPROCESSABLE, Kind.CONFLICT, Kind.TOO_LARGE})


class NothingAccepted(Refusal):
    """Every item was refused, and nothing was written. `details.refused`: [{index, error}]."""

    code: ClassVar[str] = "batch_refused"

    def __init__(self, refused: Sequence[RefusedItem], total: int) -> None:
        first = refused[0].error["message"]
        looked = f"All {total} items are" if len(refused) == total else f"The first {len(refused)} items are"
        super().__init__(
            f"{looked} refused; the first: {first}",
            details={"refused": [{"index": one.index, "error": one.error} for one in refused[:HOPELESS]]},
        )


@dataclass(frozen=True, slots=True)
class BatchAsked:
    """`base` is what holds for all items; `webhook` is told of the batch."""

    base: Asked
    form: Form
    webhook: Webhook | None = None


@dataclass(slots=True)
class _Drawn:
    """What became of the items so far."""

    jobs: dict[int, NewJob] = field(default_factory=dict[int, NewJob])
    refused: dict[int, RefusedItem] = field(default_factory=dict[int, RefusedItem])

    @property
    def hopeless(self) -> bool:
        return not self.jobs and len(self.refused) >= HOPELESS

    def refuse(self, index: int, refusal: Refusal) -> None:
        """Raises the refusal where it is not the item's fault."""
        if refusal.kind not in _OF_THE_ITEM:
            raise refusal
        self.jobs.pop(index, None)
        self.refused[index] = RefusedItem(index, told(refusal))

    def all_refused(self) -> list[RefusedItem]:
        return [self.refused[index] for index in sorted(self.refused)]


@dataclass(frozen=True, slots=True)
class Batches:
    """`most` items of one batch."""

    generation: Generation
    most: int

    async def submit(self, caller: Caller, asked: BatchAsked) -> Batch:
        """Accept a batch. Its first job bears the idempotency key: a second batch under it is refused whole.

        Raises BatchTooLarge, WorkflowNotFound, NothingAccepted, and QueueFull where not all of it has room.
        """
        check_size(asked.form, self.most)
        base = asked.base
        workflow = await self.generation.registry.find(caller.account_id, base.workflow_id, base.version)
        batch_id, drawn = new_uuid(), _Drawn()
        await self._draw(caller, asked, drawn)
        new = NewBatch(
            id=batch_id,
            account_id=caller.account_id,
            end_user=caller.end_user,
            workflow=workflow.id,
            total=asked.form.count,
            refused=(),
            webhook=asked.webhook,
            retention=self.generation.intake.retention,
        )
        while True:
            try:
                await self._enter(new, drawn, asked)
            except MissingAssets as missing:
                _without(drawn, missing)
            else:
                break
        async with self.generation.intake.database.autocommit() as tx:
            return await batches.read(tx, caller.account_id, batch_id)

    async def _draw(self, caller: Caller, asked: BatchAsked, drawn: _Drawn) -> None:
        """Every item is judged by itself; nothing is written but files that came."""
        base = dataclasses.replace(asked.base, idempotency=None)
        places = enumerate(expanded(asked.form))
        try:
            async with asyncio.TaskGroup() as group:
                once = Once.of(self.generation.inputs, group)
                generation = dataclasses.replace(self.generation, inputs=once)
                for _ in range(min(AT_ONCE, asked.form.count)):
                    group.create_task(_draw_some(generation, caller, base, places, drawn))
        except* Refusal as refusals:
            raise _first(refusals) from None

    async def _enter(self, new: NewBatch, drawn: _Drawn, asked: BatchAsked) -> None:
        if not drawn.jobs:
            raise NothingAccepted(drawn.all_refused(), new.total)
        whole = dataclasses.replace(new, refused=tuple(drawn.all_refused()))
        first = min(drawn.jobs)
        many = [
            _of_batch(drawn.jobs[index], new.id, index, asked.base if index == first else None)
            for index in sorted(drawn.jobs)
        ]

        async def opening(tx: Tx) -> None:
            await batches.open_batch(tx, whole)

        await self.generation.results.enter_many(many, opening)


@dataclass(frozen=True, slots=True)
class Once(Inputs):
    """What several items bring is received once: the same address, or the same bytes in the request."""

    group: asyncio.TaskGroup = field(kw_only=True)
    coming: dict[Named, asyncio.Task[Asset | Refusal]] = field(
        kw_only=True, default_factory=dict[Named, "asyncio.Task[Asset | Refusal]"]
    )

    @staticmethod
    def of(inputs: Inputs, group: asyncio.TaskGroup) -> "Once":
        """Over these inputs; what is received belongs to `group`."""
        shared = {one.name: getattr(inputs, one.name) for one in dataclasses.fields(Inputs)}
        return Once(**shared, group=group)

    async def asset(self, account_id: AccountId, parameter: str, named: Named, receipts: Receipts) -> Asset:
        """As that of Inputs. A refusal is the same for all who bring the same."""
        if named not in self.coming:
            if not isinstance(named, Stored) and self._received() >= MOST_RECEIVED:
                raise InvalidInput(parameter, f"a batch brings {MOST_RECEIVED} files at most", "too_many")
            self.coming[named] = self.group.create_task(self._asked(account_id, parameter, named, receipts))
        found = await self.coming[named]
        if isinstance(found, Refusal):
            raise found
        return found

    def _received(self) -> int:
        return sum(not isinstance(named, Stored) for named in self.coming)

    async def _asked(
        self, account_id: AccountId, parameter: str, named: Named, receipts: Receipts
    ) -> Asset | Refusal:
        try:
            return await Inputs.asset(self, account_id, parameter, named, receipts)
        except Refusal as refusal:
            return refusal


async def _draw_some(
    generation: Generation,
    caller: Caller,
    base: Asked,
    places: Iterator[tuple[int, ItemAsked | InvalidBatch]],
    drawn: _Drawn,
) -> None:
    """Take the next item until there is none; between two of them others are served."""
    for index, item in places:
        try:
            if isinstance(item, InvalidBatch):
                raise item
            drawn.jobs[index] = (await generation.drawn(caller, merged(base, item), Receipts())).job
        except Refusal as refusal:
            drawn.refuse(index, refusal)
        if drawn.hopeless:
            return
        await asyncio.sleep(0)


def told(refusal: Refusal) -> dict[str, Any]:
    """A refusal as the item's own."""
    error: dict[str, Any] = {"code": refusal.code, "message": refusal.message}
    if refusal.details and len(str(refusal.details)) <= MOST_DETAILS:
        error["details"] = dict(refusal.details)
    return error


def _without(drawn: _Drawn, missing: MissingAssets) -> None:
    """Items whose files were deleted while the others were drawn up are refused as they would be by themselves."""
    gone = {uuid.UUID(text) for text in (missing.details or {})["missing_ids"]}
    for index, job in list(drawn.jobs.items()):
        lost = [str(asset_id) for asset_id in job.inputs if asset_id in gone]
        if lost:
            drawn.refuse(index, MissingAssets(lost))


def _of_batch(job: NewJob, batch_id: uuid.UUID, index: int, keyed: Asked | None) -> NewJob:
    if job.recipe is None:
        raise ValueError("a job of a workflow has a recipe")
    recipe = dataclasses.replace(job.recipe, batch_id=batch_id, batch_index=index)
    return dataclasses.replace(job, recipe=recipe, idempotency=keyed.idempotency if keyed else None)


def _first(group: BaseExceptionGroup[Refusal]) -> Refusal:
    one = group.exceptions[0]
    return _first(one) if isinstance(one, BaseExceptionGroup) else one
