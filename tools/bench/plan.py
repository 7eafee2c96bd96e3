"""How much is measured: enough for a p99 in less than five minutes, or a quick look in less than one."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Plan:
    """`rounds` turns of each way, one after another, so that whatever else the machine does meets all alike.

    `fast` and `sampled` are jobs per turn at `in_flight`; `posting` is seconds of nothing but submits.
    """

    rounds: int
    singles: int
    fast: int
    sampled: int
    sdk: int
    posting: float
    warm_up: int = 40
    in_flight: int = 16
    accounts: int = 16
    posters: int = 32
    step_seconds: float = 0.1


FULL = Plan(rounds=6, singles=80, fast=600, sampled=100, sdk=12, posting=10.0)
QUICK = Plan(rounds=2, singles=40, fast=300, sampled=48, sdk=3, posting=3.0)
