"""What one dispatcher knows of its servers: who can run what, how long it takes there, what canaries leave."""

from collections import OrderedDict
from collections.abc import Collection, Iterable, Mapping

from atelier.dispatch.driver import Driver
from atelier.dispatch.elsewhere import Elsewhere
from atelier.dispatch.pace import Pace
from atelier.fleet import prefetch, requirements
from atelier.fleet.inventory import Inventory
from atelier.fleet.model import Requirement
from atelier.fleet.store import catalogs
from atelier.kit.database import Tx
from atelier.kit.ids import ServerId

KEPT = 20_000
"""Requirement sets that are remembered; each is a few hundred bytes."""

JUDGED = 100_000

LATELY = 256
"""Requirement sets that were met last: those of them that nobody free satisfies are not read again."""


class FleetKnowledge:
    """`policy.Knowledge` of the servers that these drivers drive; of others only what they could run."""

    def __init__(self, pace: Pace, drivers: Mapping[ServerId, Driver], elsewhere: Elsewhere) -> None:
        self._pace = pace
        self._elsewhere = elsewhere
        self._drivers = drivers
        self._requirements: dict[int, Requirement] = {}
        self._judged: dict[tuple[bytes, int], bool] = {}
        self._met: OrderedDict[int, None] = OrderedDict()

    # What the policy asks ----------------------------------------------------------------------

    def satisfies(self, server_id: ServerId, requirement_id: int) -> bool:
        """Whether it may be given such a job: a canary leaves to others what they can run, up to its part."""
        driver = self._drivers.get(server_id)
        if driver is None:
            inventory = self._elsewhere.inventory(server_id)
            return inventory is not None and self._judge(inventory, requirement_id)
        if not self._can(driver, requirement_id):
            return False
        return driver.takes_its_turn() or not self.others_can(server_id, requirement_id)

    def run_seconds(self, shape: bytes, server_id: ServerId) -> float | None:
        return self._pace.expected(shape, server_id)

    def load_seconds(self, lane: str, server_id: ServerId) -> float:
        return self._pace.loading(lane, server_id)

    # What the feeder asks ----------------------------------------------------------------------

    def can(self, server_id: ServerId, requirement_id: int) -> bool:
        """Whether this server satisfies the requirement set, whoever's turn it is."""
        driver = self._drivers.get(server_id)
        return driver is not None and self._can(driver, requirement_id)

    def others_can(self, server_id: ServerId, requirement_id: int) -> bool:
        """Whether a server of ours that takes jobs, and is not a canary, satisfies it as well."""
        return any(
            driver.server_id != server_id
            and driver.open
            and not driver.canary
            and self._can(driver, requirement_id)
            for driver in self._drivers.values()
        )

    def runs_video(self, requirement_id: int) -> bool:
        """As far as is known: what is not known may."""
        requirement = self._requirements.get(requirement_id)
        return requirement is None or prefetch.runs_video(requirement.classes)

    def refused(self, server_ids: Collection[ServerId]) -> list[int]:
        """Of the requirement sets that were met lately, those that none of these servers satisfies."""
        drivers = [self._drivers[server_id] for server_id in server_ids if server_id in self._drivers]
        inventories = {driver.inventory.digest: driver.inventory for driver in drivers if driver.inventory}
        return [met for met in self._met if not any(self._judge(one, met) for one in inventories.values())]

    async def meet(self, tx: Tx, requirement_ids: Iterable[int]) -> None:
        """Learn what these requirement sets are."""
        met = dict.fromkeys(requirement_ids)
        unknown = set(met) - self._requirements.keys()
        if unknown:
            if len(self._requirements) > KEPT:
                self._requirements.clear()
                unknown = set(met)
            self._requirements |= await catalogs.requirements(tx, unknown)
        for requirement_id in met:
            self._met[requirement_id] = None
            self._met.move_to_end(requirement_id)
        while len(self._met) > LATELY:
            self._met.popitem(last=False)

    def _can(self, driver: Driver, requirement_id: int) -> bool:
        return driver.inventory is not None and self._judge(driver.inventory, requirement_id)

    def _judge(self, inventory: Inventory, requirement_id: int) -> bool:
        requirement = self._requirements.get(requirement_id)
        if requirement is None:
            return False
        key = (inventory.digest, requirement_id)
        if key not in self._judged:
            if len(self._judged) > JUDGED:
                self._judged.clear()
            self._judged[key] = not requirements.missing(inventory, requirement)
        return self._judged[key]
