"""Who waits is charged from where its class has come: idling earns nothing, and lagging earns two minutes at most.

A class has a clock, the largest virtual time at which one of its jobs ever began; it only grows. A party that
comes back from idle begins at the clock. One that stayed keeps what it is owed, up to `CREDIT`: a party whose jobs
run on one rare server alone falls behind for ever, and must not keep others waiting for hours once it need not.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from atelier.fleet.model import Party, Share

CREDIT = 120.0
"""Seconds, divided by its weight, that a party may be owed."""


NOTHING: Mapping[Party, float] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Standing:
    """A waiting party as the database has it.

    `virtual_time` is None while it was never given anything. `clock`: how far its class has come. `on_servers`:
    how many jobs of its account and end user are there now, in all classes, of `most` (None: any number).
    """

    party: Party
    virtual_time: float | None
    clock: float
    weight: float = 1.0
    on_servers: int = 0
    most: int | None = None


def bases(now: Iterable[Standing], before: Mapping[Party, float] | None) -> dict[Party, float]:
    """The virtual time from which each waiting party is charged at least.

    `before` is what this gave at the last look, None at the first: nobody is known to have been idle then.
    """
    return {standing.party: _base(standing, before) for standing in now}


def _base(standing: Standing, before: Mapping[Party, float] | None) -> float:
    owed_from = standing.clock - CREDIT
    if before is not None and standing.party in before:
        return max(before[standing.party], owed_from)
    was_idle = before is not None and not standing.on_servers
    return standing.clock if was_idle or standing.virtual_time is None else owed_from


def shares(
    now: Iterable[Standing], least: Mapping[Party, float], owed: Mapping[Party, float] = NOTHING
) -> dict[Party, Share]:
    """What the policy goes by; `least` as `bases` gives it.

    `owed`: what is charged with a party's next claim besides, because earlier ones took longer than expected.
    """
    return {
        standing.party: _share(standing, least[standing.party], owed.get(standing.party, 0.0)) for standing in now
    }


def _share(standing: Standing, base: float, owed: float) -> Share:
    given = (base if standing.virtual_time is None else max(standing.virtual_time, base)) + owed
    room = None if standing.most is None else max(standing.most - standing.on_servers, 0)
    return Share(given, standing.weight, room)
