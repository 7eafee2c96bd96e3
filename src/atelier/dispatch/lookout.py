"""What waits as one dispatcher sees it now, with the shares of those who wait; the claim of what was chosen."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from atelier.dispatch.knowledge import FleetKnowledge
from atelier.dispatch.settling import Settling
from atelier.fleet import fairness
from atelier.fleet.model import Party, Placement, Share, Slot, Waiting
from atelier.jobs import rules
from atelier.jobs.model import Claim, Head, Limits, Wish
from atelier.jobs.store import claims
from atelier.jobs.store import waiting as store
from atelier.jobs.store.waiting import Asked, Reading
from atelier.kit import clock
from atelier.kit.database import Database, Tx
from atelier.kit.ids import DispatcherId, JobId

DEEPER = 3
"""How often more is read at once when all that was read is for other servers than those that are free."""

DEEP_SECONDS = 1.0
DEEP_SETS = 64
DEEP_EACH = 4


@dataclass(frozen=True, slots=True)
class View:
    """`bases`: from where each party is charged at least. `more_waits`: there may be more than these heads."""

    heads: Mapping[JobId, Head]
    shares: Mapping[Party, Share]
    bases: Mapping[Party, float]
    more_waits: bool

    def waiting(self) -> list[Waiting]:
        """As the policy takes it."""
        return [_waiting(head) for head in self.heads.values()]


class Lookout:
    """Remembers who waited when it looked last, and where the walk through all that waits goes on."""

    def __init__(self, database: Database, knowledge: FleetKnowledge, limits: Limits) -> None:
        self._database = database
        self._knowledge = knowledge
        self._limits = limits
        self._bases: Mapping[Party, float] | None = None
        self.settling = Settling()
        self._start = store.BEGINNING
        self._deep_at = float("-inf")
        self._deep_after = 0

    async def look(self, free: Sequence[Slot]) -> View:
        """What may be next for any of these slots."""
        servers = {slot.server_id for slot in free}
        async with self._database.autocommit() as tx:
            reading = await self._read(tx, free)
            for _ in range(DEEPER):
                met = _met(reading)
                if not met or any(self._knowledge.can(server_id, one) for one in met for server_id in servers):
                    break
                reading = await self._read(tx, free)
        return self._view(reading)

    async def _read(self, tx: Tx, free: Sequence[Slot]) -> Reading:
        asked = Asked(
            slots=len(free),
            refused=self._knowledge.refused({slot.server_id for slot in free}),
            lanes=sorted(frozenset[str]().union(*(slot.warm for slot in free))),
            limit=self._limits.per_account,
            start=self._start,
        )
        reading = await store.read(tx, asked)
        self._start = reading.go_on
        await self._knowledge.meet(tx, _met(reading))
        return reading

    def may_look_deeper(self) -> bool:
        """Not all the time: it costs more."""
        return clock.monotonic() - self._deep_at >= DEEP_SECONDS

    async def look_deeper(self, free: Sequence[Slot]) -> View:
        """What waits behind the first jobs of each party, by requirement set; each time a piece of it."""
        self._deep_at = clock.monotonic()
        servers = {slot.server_id for slot in free}
        async with self._database.autocommit() as tx:
            sets = await store.requirement_sets(tx, self._deep_after)
            await self._knowledge.meet(tx, sets)
            fit = [one for one in sets if any(self._knowledge.can(server_id, one) for server_id in servers)]
            chosen = fit[:DEEP_SETS]
            self._deep_after = _go_on(sets, fit)
            reading = await store.of_requirement_sets(tx, chosen, each=DEEP_EACH, limit=self._limits.per_account)
        return self._view(reading)

    def _view(self, reading: Reading) -> View:
        owed = {standing.party: self.settling.owed(standing.party) for standing in reading.standings}
        self._bases = bases = fairness.bases(reading.standings, self._bases)
        return View(
            heads={head.job_id: head for head in reading.heads},
            shares=fairness.shares(reading.standings, bases, owed),
            bases=bases,
            more_waits=not reading.complete,
        )

    async def claim(self, me: DispatcherId, view: View, placements: Sequence[Placement]) -> list[Claim]:
        """Take these jobs, as far as they are still there and running limits allow."""
        costs = {placement.job_id: placement.cost for placement in placements}
        wishes, owed = self._wishes(view, placements)
        if not self._limited(view, wishes):
            async with self._database.autocommit() as connection:
                taken = await claims.claim(connection, me, wishes)
        else:
            async with self._database.transaction() as tx:
                taken = await claims.claim_within(tx, me, wishes, self._limits)
        for claim in taken:
            party = _party(view.heads[claim.job_id])
            self.settling.charge(claim.prompt_id, party, costs[claim.job_id], view.shares[party].weight)
            self.settling.settle(party, owed.get(claim.job_id, 0.0))
        return taken

    def _wishes(self, view: View, placements: Sequence[Placement]) -> tuple[list[Wish], dict[JobId, float]]:
        """What to ask for, and what of it is owed from before: with the first job of a party."""
        firsts: dict[Party, JobId] = {}
        for placement in placements:
            firsts.setdefault(_party(view.heads[placement.job_id]), placement.job_id)
        owed = {job_id: self.settling.owed(party) for party, job_id in firsts.items()}
        return [_wish(view, placement, owed.get(placement.job_id, 0.0)) for placement in placements], owed

    def _limited(self, view: View, wishes: Iterable[Wish]) -> bool:
        parties = (_party(view.heads[wish.job_id]) for wish in wishes)
        return self._limits.in_all > 0 or any(view.shares[party].may_begin is not None for party in parties)


def _met(reading: Reading) -> set[int]:
    return {head.requirement_id for head in reading.heads}


def _go_on(sets: Sequence[int], fit: Sequence[int]) -> int:
    """Behind which requirement set the walk goes on; from the first one again when it saw the last."""
    if len(fit) > DEEP_SETS:
        return fit[DEEP_SETS - 1]
    return sets[-1] if len(sets) == store.PARTIES else 0


def _party(head: Head) -> Party:
    return Party(head.priority, head.account_id, head.end_user)


def _waiting(head: Head) -> Waiting:
    return Waiting(
        job_id=head.job_id,
        requirement_id=head.requirement_id,
        lane=head.lane,
        shape=head.shape,
        party=_party(head),
        position=head.position,
        age=head.age,
        avoid=frozenset(head.avoid),
        vram_over=head.vram_over,
        number=head.number,
    )


def _wish(view: View, placement: Placement, owed: float) -> Wish:
    head = view.heads[placement.job_id]
    party, number = _party(head), head.attempt + 1
    return Wish(
        job_id=head.job_id,
        number=number,
        prompt_id=rules.prompt_id(head.job_id, number),
        server_id=placement.slot.server_id,
        fence=placement.slot.fence,
        cost=placement.cost / view.shares[party].weight + owed,
        base=view.bases[party],
    )
