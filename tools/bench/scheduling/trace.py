"""What is asked of the fleet: who wants which models when, and how long the run takes; fixed by a seed."""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from random import Random

MODELS = 10
RUN_SECONDS = 3.0
SPREAD = 0.2
"""Run times are spread by this share of their mean, log-normally."""

URGENT, USUAL = CLASSES = (8, 5)
"""The classes of jobs; the first goes first."""

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
    """The part of the jobs that is asked for in the higher class."""


@dataclass(frozen=True, slots=True)
class Work:
    """How long runs take on average, and by which share of it they are spread, log-normally."""

    run: float = RUN_SECONDS
    spread: float = SPREAD


def model_name(number: int) -> str:
    """The file of one of the models."""
    return f"model-{number}.safetensors"


def arrivals(seed: int, servers: int, phases: Sequence[Phase], crowd: Crowd, work: Work = Work()) -> list[Job]:
    """Poisson arrivals phase after phase; models by Zipf's law."""
    draw = _Draw(seed, work)
    jobs: list[Job] = []
    for begin, phase in _laid_out(phases):
        rate = phase.load * servers / work.run
        now = begin + draw.random.expovariate(rate)
        while now < begin + phase.seconds:
            jobs.append(draw.job(len(jobs), now, crowd))
            now += draw.random.expovariate(rate)
    return jobs


def at_once(seed: int, jobs_of: Sequence[int]) -> list[Job]:
    """All is asked for in the first moment, one account after the other; `jobs_of` each account."""
    draw = _Draw(seed, Work())
    owners = [account for account, count in enumerate(jobs_of) for _ in range(count)]
    return [draw.job(number, 0.0, Crowd(), account) for number, account in enumerate(owners)]


def _laid_out(phases: Sequence[Phase]) -> Iterator[tuple[float, Phase]]:
    begins = itertools.accumulate((phase.seconds for phase in phases), initial=0.0)
    return zip(begins, phases, strict=False)


class _Draw:
    def __init__(self, seed: int, work: Work) -> None:
        self.random = Random(seed)  # noqa: S311 - a trace is to be repeated, not to be secret
        self._work = work

    def job(self, number: int, at: float, crowd: Crowd, account: int | None = None) -> Job:
        owner = self._account(crowd) if account is None else account
        priority = URGENT if self.random.random() < crowd.urgent else USUAL
        model = self.random.choices(range(MODELS), [1 / (rank + 1) for rank in range(MODELS)])[0]
        return Job(number, at, model_name(model), owner, self._run(), priority)

    def _account(self, crowd: Crowd) -> int:
        greedy = self.random.random() < crowd.greedy
        return GREEDY if greedy else self.random.randrange(crowd.accounts)

    def _run(self) -> float:
        spread = self._work.spread
        return self._work.run * self.random.lognormvariate(-(spread**2) / 2, spread)
