"""Free slots meet waiting jobs: the policy says which, one statement claims them all."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import structlog

from atelier.dispatch.attempt import Attempt
from atelier.dispatch.context import Context
from atelier.dispatch.driver import Driver
from atelier.fleet import policy, prefetch, requirements
from atelier.fleet.inventory import Inventory
from atelier.fleet.model import Party, Placement, Requirement, Slot, SlotKind, Waiting
from atelier.fleet.store import catalogs
from atelier.jobs import rules
from atelier.jobs.model import Claim, Head, Wish
from atelier.jobs.store import claims
from atelier.kit import clock
from atelier.kit.database import AWAY
from atelier.kit.ids import JobId, ServerId

IDLE_SECONDS = 1.0
EACH = 16
MOST = 256
KEPT = 20_000
"""Requirement sets that are remembered; each is a few hundred bytes."""

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Known:
    """What the policy may ask."""

    satisfies: Callable[[ServerId, int], bool]
    run_seconds: Callable[[bytes, ServerId], float | None]

    def load_seconds(self, lane: str, server_id: ServerId) -> float:  # noqa: ARG002 - no load was measured yet
        return 0.0


class Feeder:
    """Claims for all drivers of one dispatcher, so that they do not race each other."""

    def __init__(self, context: Context, drivers: Mapping[ServerId, Driver]) -> None:
        self._context = context
        self._drivers = drivers
        self._requirements: dict[int, Requirement] = {}
        self._judged: dict[tuple[bytes, int], bool] = {}
        self._awake = asyncio.Event()
        self._nothing_for: frozenset[ServerId] = frozenset()
        self._asked_at = float("-inf")
        self._news = 0
        self.stopped = False

    def changed(self) -> None:
        """What waits, or what a server can run, may have changed."""
        self._news += 1
        self._nothing_for = frozenset()
        self._awake.set()

    def freed(self) -> None:
        """A slot may have become free; where nothing waits, that is no reason to ask again."""
        self._awake.set()

    async def run(self) -> None:
        """Feed until cancelled: on every wake-up, and once a second in any case."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._hear_queue())
            while True:
                try:
                    async with asyncio.timeout(IDLE_SECONDS):
                        await self._awake.wait()
                except TimeoutError:
                    pass
                self._awake.clear()
                await self._feed_safely()

    async def _hear_queue(self) -> None:
        with self._context.wakeups.subscribe("queue") as woken:
            while True:
                await woken.wait(IDLE_SECONDS * 10)
                self.changed()

    async def _feed_safely(self) -> None:
        try:
            more = True
            while more and not self.stopped:
                more = await self._feed()
        except AWAY as error:
            _log.warning("feeder.database_away", reason=str(error))
            await asyncio.sleep(IDLE_SECONDS)
        except Exception:  # noqa: BLE001 - one job that cannot be placed must not end all that run
            _log.exception("feeder.failed")
            await asyncio.sleep(IDLE_SECONDS)

    async def _feed(self) -> bool:
        """One round; True when another may give more."""
        slots = [slot for driver in self._drivers.values() if (slot := driver.offer()) is not None]
        if not slots:
            await self._make_way()
            return False
        servers, news = frozenset(slot.server_id for slot in slots), self._news
        if self._nothing_waits(servers):
            self._take_back(slots)
            return False
        asked_at = clock.monotonic()
        heads = await self._heads(list(servers))
        placements = self._placed(slots, heads)
        taken = await self._claim(heads, placements) if placements else 0
        if taken == len(heads) < EACH and news == self._news:
            self._nothing_for, self._asked_at = servers, asked_at
        if not placements:
            self._take_back(slots)
        return taken > 0

    def _nothing_waits(self, servers: frozenset[ServerId]) -> bool:
        """Known from the last question, unless something was heard or a second has passed since."""
        return servers <= self._nothing_for and clock.monotonic() - self._asked_at < IDLE_SECONDS

    def _placed(self, slots: list[Slot], heads: Mapping[JobId, Head]) -> list[Placement]:
        waiting = [_waiting(head) for head in heads.values()]
        fleet = _Known(self._satisfies, self._context.pace.expected)
        placements = policy.assign(slots, waiting, {}, fleet)

        def short(first: Placement) -> float | None:
            return self._short(heads[first.job_id], first.slot.server_id)

        return [*placements, *prefetch.assign_behind(placements, waiting, {}, fleet, short)]

    def _short(self, head: Head, server_id: ServerId) -> float | None:
        """Seconds that this job will run there, if another may be placed behind it at once."""
        expected = self._context.pace.expected(head.shape, server_id)
        requirement = self._requirements.get(head.requirement_id)
        video = requirement is None or prefetch.runs_video(requirement.classes)
        return expected if prefetch.may_place_ahead(expected, video=video) else None

    async def _heads(self, servers: list[ServerId]) -> dict[JobId, Head]:
        """What waits first for any of these servers, by job."""
        refused = [
            requirement_id
            for requirement_id in self._requirements
            if not any(self._satisfies(server_id, requirement_id) for server_id in servers)
        ]
        async with self._context.database.autocommit() as tx:
            heads = await claims.heads(tx, refused=refused, each=max(EACH, len(servers)), most=MOST)
            if len(self._requirements) > KEPT:
                self._requirements.clear()
            unknown = {head.requirement_id for head in heads} - self._requirements.keys()
            if unknown:
                self._requirements |= await catalogs.requirements(tx, unknown)
        return {head.job_id: head for head in heads}

    async def _claim(self, heads: Mapping[JobId, Head], placements: list[Placement]) -> int:
        """How many of these could be claimed."""
        wishes = [_wish(heads[placement.job_id], placement) for placement in placements]
        order = {wish.job_id: place for place, wish in enumerate(wishes)}
        try:
            async with self._context.database.autocommit() as connection:
                taken = await claims.claim(connection, self._context.me, wishes)
            for claim in sorted(taken, key=lambda claim: order[claim.job_id]):
                self._start(claim)
        except Exception:  # what was committed all the same, and was not begun, is found in the database
            for driver in self._drivers.values():
                driver.adopt_soon()
            raise
        return len(taken)

    def _start(self, claim: Claim) -> None:
        """Where the server's driver is gone or not the same any more, the next one adopts what was claimed."""
        driver = self._drivers.get(claim.server_id)
        if driver is not None:
            driver.start(claim)

    def _satisfies(self, server_id: ServerId, requirement_id: int) -> bool:
        driver = self._drivers.get(server_id)
        inventory = driver.pulse.inventory if driver else None
        requirement = self._requirements.get(requirement_id)
        if inventory is None or requirement is None:
            return False
        return self._judge(inventory, requirement_id, requirement)

    def _judge(self, inventory: Inventory, requirement_id: int, requirement: Requirement) -> bool:
        key = (inventory.digest, requirement_id)
        if key not in self._judged:
            if len(self._judged) > 100_000:
                self._judged.clear()
            self._judged[key] = not requirements.missing(inventory, requirement)
        return self._judged[key]

    def _take_back(self, slots: list[Slot]) -> None:
        """Nothing waits, a server is idle: a prompt that waits long behind another is taken back for it."""
        idle = [slot.server_id for slot in slots if slot.kind is SlotKind.IDLE]
        for ahead in self._waiting_long():
            if any(self._satisfies(server_id, ahead.claim.requirement_id) for server_id in idle):
                ahead.withdraw()
                return

    async def _make_way(self) -> None:
        """No slot is free, a higher class waits: a prompt of a lower class that was placed ahead is taken back."""
        behind = {ahead.claim.server_id: ahead for ahead in self._waiting_long()}
        if not behind:
            return
        for head in (await self._heads(list(behind))).values():
            for server_id, ahead in behind.items():
                if head.priority > ahead.claim.priority and self._satisfies(server_id, head.requirement_id):
                    ahead.withdraw()
                    return

    def _waiting_long(self) -> list[Attempt]:
        """Prompts that were placed ahead and still have to wait."""
        return [
            ahead
            for driver in self._drivers.values()
            if (ahead := driver.ahead()) is not None and (driver.rest() or 0.0) > prefetch.WITHDRAW_OVER
        ]


def _waiting(head: Head) -> Waiting:
    return Waiting(
        job_id=head.job_id,
        requirement_id=head.requirement_id,
        lane=head.lane,
        shape=head.shape,
        party=Party(head.priority, head.account_id, head.end_user),
        position=head.position,
        age=head.age,
        avoid=frozenset(head.avoid),
        vram_over=head.vram_over,
    )


def _wish(head: Head, placement: Placement) -> Wish:
    number = head.attempt + 1
    return Wish(
        job_id=head.job_id,
        number=number,
        prompt_id=rules.prompt_id(head.job_id, number),
        server_id=placement.slot.server_id,
        fence=placement.slot.fence,
    )
