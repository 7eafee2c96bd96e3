"""How much is measured: enough for a p99, or a look."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Crowd:
    """`sockets` of `accounts`, `jobs` that run at once on as many servers; a step takes `step` seconds.

    Each job has the sockets of one client id, which share all sockets among them.
    """

    sockets: int
    accounts: int
    jobs: int
    steps: int
    step: float


@dataclass(frozen=True, slots=True)
class Plan:
    """`prompts` one at a time of each kind and way, in each of `rounds` turns."""

    rounds: int
    prompts: int
    crowd: Crowd
    warm_up: int = 20


FULL = Plan(rounds=8, prompts=60, crowd=Crowd(sockets=500, accounts=10, jobs=50, steps=100, step=0.2))
QUICK = Plan(rounds=3, prompts=30, crowd=Crowd(sockets=100, accounts=5, jobs=10, steps=25, step=0.2))
