"""How much is measured: enough for a p99, or a look."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Plan:
    """`jobs` one at a time of each way, in each of `rounds` turns; `cached` answers; `items` of one batch."""

    rounds: int
    jobs: int
    cached: int
    batches: int
    items: int
    warm_up: int = 20


FULL = Plan(rounds=8, jobs=40, cached=300, batches=3, items=1000)
QUICK = Plan(rounds=3, jobs=20, cached=60, batches=1, items=1000)
