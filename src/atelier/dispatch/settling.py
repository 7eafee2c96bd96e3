"""A claim charges what a run is expected to take; what it really took is set right with its party's next claim."""

import uuid
from dataclasses import dataclass

from atelier.fleet.model import Party

KEPT = 10_000
"""Charges, and parties with their corrections, that are remembered; the oldest are forgotten first."""


@dataclass(frozen=True, slots=True)
class _Charge:
    party: Party
    seconds: float
    weight: float


class Settling:
    """Of what one dispatcher charged. Amounts in seconds divided by the party's weight."""

    def __init__(self) -> None:
        self._charged: dict[uuid.UUID, _Charge] = {}
        self._owed: dict[Party, float] = {}

    def charge(self, prompt_id: uuid.UUID, party: Party, seconds: float, weight: float) -> None:
        """The party of this attempt was charged so many seconds for it."""
        if len(self._charged) >= KEPT:
            del self._charged[next(iter(self._charged))]
        self._charged[prompt_id] = _Charge(party, seconds, weight)

    def spend(self, prompt_id: uuid.UUID, seconds: float) -> None:
        """It occupied its server for so long: 0 when it never began."""
        charge = self._charged.pop(prompt_id, None)
        if charge is None:
            return
        before = self._owed.pop(charge.party, 0.0)
        if len(self._owed) >= KEPT:
            del self._owed[next(iter(self._owed))]
        self._owed[charge.party] = before + (seconds - charge.seconds) / charge.weight

    def owed(self, party: Party) -> float:
        """What this party's next claim is charged besides its own cost; mostly it is given back."""
        return self._owed.get(party, 0.0)

    def settle(self, party: Party, amount: float) -> None:
        """So much of what was owed was charged."""
        rest = self._owed.pop(party, 0.0) - amount
        if rest:
            self._owed[party] = rest
