"""Free slots meet waiting jobs: the policy says which, one statement claims them all."""

import asyncio
from collections.abc import Collection, Mapping, Sequence

import structlog

from atelier.dispatch.attempt import Attempt
from atelier.dispatch.context import Context
from atelier.dispatch.driver import Driver
from atelier.dispatch.elsewhere import Elsewhere
from atelier.dispatch.knowledge import FleetKnowledge
from atelier.dispatch.lookout import Lookout, View
from atelier.dispatch.noticeboard import Noticeboard
from atelier.fleet import policy, prefetch
from atelier.fleet.model import Placement, Slot, SlotKind
from atelier.jobs.model import Claim, Limits
from atelier.kit import clock
from atelier.kit.database import AWAY
from atelier.kit.ids import ServerId

IDLE_SECONDS = 1.0

_log = structlog.get_logger(__name__)


class Feeder:
    """Claims for all drivers of one dispatcher, so that they do not race each other."""

    def __init__(self, context: Context, drivers: Mapping[ServerId, Driver]) -> None:
        self._context = context
        self._drivers = drivers
        self._limits = Limits(context.settings.max_running, context.settings.max_running_per_account)
        self._elsewhere = Elsewhere(context.view)
        self._knowledge = FleetKnowledge(context.pace, drivers, self._elsewhere)
        self._lookout = Lookout(context.database, self._knowledge, self._limits)
        self._noticeboard = Noticeboard(context.database, drivers)
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

    def spent(self, claim: Claim, seconds: float) -> None:
        """An attempt has left its server, which it occupied for so long."""
        self._lookout.settling.spend(claim.prompt_id, seconds)

    async def run(self) -> None:
        """Feed until cancelled: on every wake-up, and once a second in any case."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._hear_queue())
            group.create_task(self._noticeboard.run())
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
        free = [slot for slot in slots if slot.kind is not SlotKind.BUSY]
        if not free:
            await self._make_way()
            return False
        servers, news = frozenset(slot.server_id for slot in free), self._news
        if self._nothing_waits(servers):
            self._take_back(free)
            return False
        asked_at = clock.monotonic()
        view = await self._lookout.look(free)
        placements = self._placed(slots, view)
        if not placements and view.more_waits and self._lookout.may_look_deeper():
            view = await self._lookout.look_deeper(free)
            placements = self._placed(slots, view)
        taken = await self._claim(view, placements) if placements else 0
        if taken == len(view.heads) and not view.more_waits and news == self._news:
            self._nothing_for, self._asked_at = servers, asked_at
        if not placements:
            self._take_back(free)
        return taken > 0

    def _nothing_waits(self, servers: frozenset[ServerId]) -> bool:
        """Known from the last question, unless something was heard or a second has passed since."""
        return servers <= self._nothing_for and clock.monotonic() - self._asked_at < IDLE_SECONDS

    def _placed(self, slots: Sequence[Slot], view: View) -> list[Placement]:
        waiting = view.waiting()
        elsewhere = self._elsewhere.slots(self._drivers.keys(), waiting)
        first = policy.assign([*slots, *elsewhere], waiting, view.shares, self._knowledge)

        def short(placement: Placement) -> float | None:
            return self._short(view, placement)

        behind = prefetch.assign_behind(first, waiting, view.shares, self._knowledge, short)
        return [*first, *behind]

    def _short(self, view: View, placement: Placement) -> float | None:
        """Seconds that this job will run there, if another may be placed behind it at once."""
        driver, head = self._drivers.get(placement.slot.server_id), view.heads[placement.job_id]
        room = driver.offers.room() if driver else 0
        if room is not None and room < 2:
            return None
        video = self._knowledge.runs_video(head.requirement_id)
        return placement.cost if prefetch.may_place_ahead(self._measured(view, placement), video=video) else None

    def _measured(self, view: View, placement: Placement) -> float | None:
        """What it costs there, where the run was measured."""
        run = self._knowledge.run_seconds(view.heads[placement.job_id].shape, placement.slot.server_id)
        return None if run is None else placement.cost

    async def _claim(self, view: View, placements: Sequence[Placement]) -> int:
        """How many of these could be claimed."""
        order = {placement.job_id: place for place, placement in enumerate(placements)}
        try:
            taken = await self._lookout.claim(self._context.me, view, placements)
            for claim in sorted(taken, key=lambda claim: order[claim.job_id]):
                self._start(claim)
        except Exception:  # what was committed all the same, and was not begun, is found in the database
            for driver in self._drivers.values():
                driver.adopt_soon()
            raise
        self._keep_swaps(view, placements, {claim.job_id for claim in taken})
        for claim in taken:
            self._count_turn(claim)
        return len(taken)

    def _start(self, claim: Claim) -> None:
        """Where the server's driver is gone or not the same any more, the next one adopts what was claimed."""
        driver = self._drivers.get(claim.server_id)
        if driver is not None:
            driver.start(claim)

    def _count_turn(self, claim: Claim) -> None:
        """A canary's part is counted over the jobs that it could have been given, and others as well."""
        for driver in self._drivers.values():
            could = driver.canary and self._knowledge.can(driver.server_id, claim.requirement_id)
            if could and self._knowledge.others_can(driver.server_id, claim.requirement_id):
                driver.offers.throttle.pass_by(driver.offers.server.share)
                if claim.server_id == driver.server_id:
                    driver.offers.throttle.take_turn()

    def _keep_swaps(self, view: View, placements: Sequence[Placement], taken: Collection[object]) -> None:
        """A server that had to leave models which jobs still wait for stays with the new ones for a while."""
        left = {head.lane for head in view.heads.values() if head.job_id not in taken}
        for placement in placements:
            slot, lane = placement.slot, view.heads[placement.job_id].lane
            driver = self._drivers.get(slot.server_id)
            forced = lane and lane not in slot.warm and slot.warm & left
            if forced and driver is not None and placement.job_id in taken:
                swap = self._knowledge.load_seconds(lane, slot.server_id)
                driver.offers.heat.stay(clock.monotonic() + slot.rest + swap + policy.stay_after_swap(swap))

    # Prompts that were placed ahead ------------------------------------------------------------

    def _take_back(self, slots: Sequence[Slot]) -> None:
        """Nothing waits, a server is idle: a prompt that waits long behind another is taken back for it."""
        idle = [slot for slot in slots if slot.kind is SlotKind.IDLE]
        for driver, ahead in self._ahead():
            if any(self._begins_sooner(ahead.claim, driver.rest(), slot) for slot in idle):
                ahead.withdraw()
                return

    def _begins_sooner(self, claim: Claim, rest: float, slot: Slot) -> bool:
        if not self._knowledge.satisfies(slot.server_id, claim.requirement_id):
            return False
        warm = not claim.lane or claim.lane in slot.warm
        swap = 0.0 if warm else self._knowledge.load_seconds(claim.lane, slot.server_id)
        return prefetch.worth_taking_back(rest, swap)

    async def _make_way(self) -> None:
        """No slot is free, a higher class waits: a prompt of a lower class that was placed ahead is taken back."""
        behind = {
            driver.server_id: ahead for driver, ahead in self._ahead() if driver.rest() > prefetch.WITHDRAW_OVER
        }
        if not behind:
            return
        view = await self._lookout.look([slot for name in behind if (slot := self._drivers[name].offer())])
        for head in view.heads.values():
            for server_id, ahead in behind.items():
                if head.priority > ahead.claim.priority and self._knowledge.can(server_id, head.requirement_id):
                    ahead.withdraw()
                    return

    def _ahead(self) -> list[tuple[Driver, Attempt]]:
        return [(driver, ahead) for driver in self._drivers.values() if (ahead := driver.ahead()) is not None]
