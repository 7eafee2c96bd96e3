"""A job that makes what was made before takes its files at once; one that is being made just now is waited for.

Whoever accepts a job of a key holds the key's row: of all who come at once one leads, and the others follow. Files
are looked for in the storage before the transaction, and kept by the statement that names them anew.
"""

import dataclasses
import enum
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import structlog

from atelier.assets import service as assets
from atelier.intake import cache
from atelier.intake.service import Intake, Judged
from atelier.intake.twins import Known, Plan, planned
from atelier.jobs import cached as twins
from atelier.jobs import service as jobs
from atelier.jobs.model import Job, JobState, NewJob
from atelier.jobs.recipe import Finish
from atelier.jobs.store import cached
from atelier.kit import clock
from atelier.kit.database import Tx
from atelier.kit.ids import AccountId, AssetId, JobId
from atelier.storage.model import Storage, StorageUnavailable
from atelier.workflows.model import Workflow

_log = structlog.get_logger(__name__)


class Sharing(enum.StrEnum):
    """Whose results a job may take: its own account's, anybody's, nobody's."""

    ACCOUNT = "account"
    SHARED = "shared"
    OFF = "off"


@dataclass(frozen=True, slots=True)
class Policy:
    """`part` (0 to 1) of its price is what a job costs that takes an earlier one's files."""

    sharing: Sharing = Sharing.ACCOUNT
    part: float = 0.0


Opening = Callable[[Tx], Awaitable[None]]
"""What is written before the jobs, in their transaction."""

RENEW = 0.5
"""With less than this part of a new job's time left, an old one is replaced by the new one that has its files."""


class Results:
    """The way in for jobs whose recipe has a `cache_key`; any other one passes as through `Intake.enter`."""

    def __init__(self, intake: Intake, storage: Storage, policy: Policy | None = None) -> None:
        self._intake = intake
        self._storage = storage
        self._policy = policy or Policy()

    async def key(
        self, account_id: AccountId, workflow: Workflow, judged: Judged, finish: Finish | None, *, drawn: bool
    ) -> bytes | None:
        """What names the result of this bound graph; None where it must be made anew. Raises MissingAssets.

        `drawn`: the seed was drawn at random, because nothing named one.
        """
        if self._policy.sharing is Sharing.OFF or not cache.repeats(workflow, drawn=drawn):
            return None
        files = await self._contents(account_id, judged)
        sizes = cache.sizes_of(judged.needs.requirement.models, self._intake.fleet.inventories())
        return cache.key(workflow, judged.text, files, sizes, finish)

    async def enter(self, job: NewJob) -> Job:
        """Accept a job. One that takes earlier files has succeeded when this returns; a twin is being prepared.

        Raises what `Intake.enter` raises; nothing was written then.
        """
        if self._key(job) is None:
            return await self._intake.enter(job)
        [accepted] = await self.enter_many([job])
        return accepted

    async def enter_many(self, many: Sequence[NewJob], opening: Opening | None = None) -> list[Job]:
        """Accept jobs of one account that all have a recipe, in one transaction: all of them, or none.

        There is at least one. `opening` is done first in that transaction. Raises as `enter`.
        """
        seen, there = await self._looked(set(self.keys(many).values()))
        async with self._intake.database.transaction() as tx:
            if opening is not None:
                await opening(tx)
            accepted, leaders = await self.accept(tx, many, there, seen)
        await self._told(many[0].account_id, leaders)
        return accepted

    async def accept(
        self,
        tx: Tx,
        many: Sequence[NewJob],
        there: Mapping[JobId, bool],
        seen: Mapping[bytes, cached.Found] = MappingProxyType({}),
    ) -> tuple[list[Job], Collection[JobId]]:
        """Write prepared jobs of one account in the caller's transaction. Gives those whom some of them wait for.

        `seen`: whom the keys named before this transaction. `there`: of those who had succeeded, whether their
        files are all there.
        """
        keys = self.keys(many)
        plan = await self._planned(tx, many, keys, there, seen) if keys else Plan()
        return await self._accept(tx, many, keys, plan), set(plan.follows.values())

    # Before the transaction ---------------------------------------------------------------------

    def _key(self, job: NewJob) -> bytes | None:
        """The key under which its result is kept: its account's own, unless all accounts share."""
        key = job.recipe.cache_key if job.recipe else None
        if key is None or self._policy.sharing is Sharing.OFF:
            return None
        return cache.of_account(key, job.account_id) if self._policy.sharing is Sharing.ACCOUNT else key

    def keys(self, many: Sequence[NewJob]) -> dict[JobId, bytes]:
        """Under which key the result of each is kept: of those that have one."""
        return {job.id: key for job in many if (key := self._key(job)) is not None}

    async def _contents(self, account_id: AccountId, judged: Judged) -> dict[AssetId, bytes]:
        if not judged.inputs:
            return {}
        async with self._intake.database.autocommit() as tx:
            named = await assets.named(tx, account_id, judged.inputs)
        return {asset_id: asset.hash for asset_id, asset in named.items()}

    async def _looked(self, keys: Collection[bytes]) -> tuple[Mapping[bytes, cached.Found], Mapping[JobId, bool]]:
        """Whom these keys name, and of those who succeeded whether their files are there."""
        if not keys:
            return {}, {}
        async with self._intake.database.autocommit() as tx:
            found = await cached.found(tx, keys)
        ended = [one.job_id for one in found.values() if one.state is JobState.SUCCEEDED]
        if not ended:
            return found, {}
        try:
            whole = await twins.with_files(self._intake.database, self._storage, ended)
        except StorageUnavailable as refusal:
            _log.warning("storage.away", reason=refusal.message)
            whole = set[JobId]()
        return found, {job_id: job_id in whole for job_id in ended}

    # Within it ----------------------------------------------------------------------------------

    async def _planned(
        self,
        tx: Tx,
        many: Sequence[NewJob],
        keys: Mapping[JobId, bytes],
        there: Mapping[JobId, bool],
        seen: Mapping[bytes, cached.Found],
    ) -> Plan:
        """From now on the keys are held, so nobody else begins to make the same."""
        first = {key: job_id for job_id, key in reversed(list(keys.items()))}
        named = await cached.hold(tx, first)
        found = {key: one for key, one in seen.items() if one.job_id == named[key] and one.job_id in there}
        others = [key for key, job_id in named.items() if job_id != first[key] and key not in found]
        if others:  # an end is never changed: who had succeeded is not asked again
            found |= await cached.found(tx, others)
        plan = planned(many, keys, Known(named, found, there))
        plan.leads.update(_renewed(many, keys, plan, found))
        return plan

    async def _accept(self, tx: Tx, many: Sequence[NewJob], keys: Mapping[JobId, bytes], plan: Plan) -> list[Job]:
        """Those that have their files at once wait nowhere: a full queue does not refuse them."""
        placed = [self._placed(job, keys, plan) for job in many]
        given = [job for job in placed if job.id in plan.takes]
        await assets.named(tx, many[0].account_id, {asset_id for job in given for asset_id in job.inputs})
        accepted = await _submitted(tx, given)
        accepted += await self._accepted(tx, [job for job in placed if job.id not in plan.takes])
        if plan.leads:
            await cached.lead(tx, plan.leads)
        if plan.raised:
            await cached.raise_priority(tx, plan.raised)
        by_id = {job.id: job for job in accepted}
        if plan.takes:
            by_id |= await cached.ended(tx, await cached.give(tx, plan.takes, 1.0))
        return [by_id[job.id] for job in many]

    async def _accepted(self, tx: Tx, many: Sequence[NewJob]) -> list[Job]:
        """One alone needs no pipeline."""
        if len(many) == 1:
            return [await self._intake.accept(tx, many[0])]
        return await self._intake.accept_many(tx, many)

    def _placed(self, job: NewJob, keys: Mapping[JobId, bytes], plan: Plan) -> NewJob:
        """The job as it is written: with its own key, its leader, and the price of what is not run."""
        if job.recipe is None:
            return job
        source, leader = plan.takes.get(job.id), plan.follows.get(job.id)
        recipe = dataclasses.replace(job.recipe, cache_key=keys.get(job.id), leader_id=source or leader)
        price = round(job.price * self._policy.part) if source else job.price
        return dataclasses.replace(job, recipe=recipe, price=price)

    async def _told(self, account_id: AccountId, leaders: Collection[JobId]) -> None:
        """A leader may have ended before its new followers could be seen: then nobody else settles them soon."""
        self._intake.told(account_id)
        if not leaders:
            return
        async with self._intake.database.autocommit() as tx:
            if await cached.any_ended(tx, leaders):
                self._intake.wakeups.publish(twins.TOPIC)


async def _submitted(tx: Tx, many: Sequence[NewJob]) -> list[Job]:
    return [await jobs.submit(tx, many[0])] if len(many) == 1 else await jobs.submit_many(tx, many)


def _renewed(
    many: Sequence[NewJob], keys: Mapping[JobId, bytes], plan: Plan, found: Mapping[bytes, cached.Found]
) -> dict[bytes, JobId]:
    """Keys whose job will not be kept for long, with the new job that has its files for longer."""
    now = clock.utcnow()
    renewed = dict[bytes, JobId]()
    for job in many:
        if job.id in plan.takes:
            rest = (found[keys[job.id]].keep_until - now).total_seconds()
            if rest < job.retention * RENEW:
                renewed[keys[job.id]] = job.id
    return renewed
