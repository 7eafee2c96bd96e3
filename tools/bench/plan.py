"""How much is measured: enough for a p99 in less than five minutes, or a quick look in less than one."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Plan:
    """`rounds` turns of each way, one after another, so that whatever else the machine does meets all alike.

    Jobs per turn: `singles` one at a time; the others at `in_flight`: `plain` one colour in two nodes, `instant`
    text to image whose step takes no time, `stepped` text to image whose step takes `step_seconds`. `posting` is
    seconds of nothing but submits.
    """

    rounds: int
    singles: int
    plain: int
    instant: int
    stepped: int
    sdk: int
    posting: float
    warm_up: int = 40
    in_flight: int = 16
    accounts: int = 16
    posters: int = 32
    step_seconds: float = 0.1


FULL = Plan(rounds=6, singles=80, plain=400, instant=150, stepped=100, sdk=12, posting=10.0)
QUICK = Plan(rounds=2, singles=40, plain=200, instant=60, stepped=40, sdk=3, posting=3.0)
