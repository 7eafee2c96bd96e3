"""What is asked of the fleet: who wants which models when, and how long the run takes; fixed by a seed."""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from random import Random

MODELS = 10
RUN_SECONDS = 3.0
SPREAD = 0.2
"""Run times are spread by this share of their mean, log-normally."""

GREEDY = 0
"""The account that asks for more than all others."""


@dataclass(frozen=True, slots=True)
class Job:
    """Asked for at `at`; runs `run` seconds with its models loaded (all times in seconds)."""

    number: int
    at: float
    lane: str
    account: int
    run: float
    priority: int = 5


@dataclass(frozen=True, slots=True)
class Phase:
    """`load`: seconds of work that arrive in a second, for each server."""

    seconds: float
    load: float


@dataclass(frozen=True, slots=True)
class Crowd:
    """Who asks: accounts with equal parts of the jobs, but `greedy` of them are the first one's."""

    accounts: int = 1
    greedy: float = 0.0
    urgent: float = 0.0
    """The part of the jobs that is asked for in class 8 instead of 5."""


def arrivals(seed: int, servers: int, phases: Sequence[Phase], crowd: Crowd) -> list[Job]:
    """Poisson arrivals phase after phase; models by Zipf's law."""
    random = Random(seed)  # noqa: S311 - a trace is to be repeated, not to be secret
    jobs: list[Job] = []
    for begin, phase in _laid_out(phases):
        now = begin + random.expovariate(phase.load * servers / RUN_SECONDS)
        while now < begin + phase.seconds:
            jobs.append(_job(random, len(jobs), now, crowd))
            now += random.expovariate(phase.load * servers / RUN_SECONDS)
    return jobs


def at_once(seed: int, jobs_of: Sequence[int]) -> list[Job]:
    """All is asked for in the first moment, one account after the other; `jobs_of` each account."""
    random = Random(seed)  # noqa: S311 - a trace is to be repeated, not to be secret
    owners = [account for account, count in enumerate(jobs_of) for _ in range(count)]
    return [_one(random, number, 0.0, account, 5) for number, account in enumerate(owners)]


def _laid_out(phases: Sequence[Phase]) -> Iterator[tuple[float, Phase]]:
    begins = itertools.accumulate((phase.seconds for phase in phases), initial=0.0)
    return zip(begins, phases, strict=False)


def _job(random: Random, number: int, at: float, crowd: Crowd) -> Job:
    greedy = random.random() < crowd.greedy
    account = GREEDY if greedy else random.randrange(crowd.accounts)
    return _one(random, number, at, account, 8 if random.random() < crowd.urgent else 5)


def _one(random: Random, number: int, at: float, account: int, priority: int) -> Job:
    model = random.choices(range(MODELS), [1 / (rank + 1) for rank in range(MODELS)])[0]
    run = RUN_SECONDS * random.lognormvariate(-(SPREAD**2) / 2, SPREAD)
    return Job(number, at, f"model-{model}.safetensors", account, run, priority)
