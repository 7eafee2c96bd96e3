"""What a schedule is judged by; times in seconds."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from atelier.fleet.policy import longest_wait
from tools.bench.scheduling.bound import shortest_makespan
from tools.bench.scheduling.engine import Ran
from tools.bench.scheduling.machines import Costs, Run
from tools.bench.scheduling.trace import Job


@dataclass(frozen=True, slots=True)
class Figures:
    """`makespan`: the end of the last run. A wait ends when the server begins with the job, loading included.

    `over`: how many jobs waited longer than the bound. `jain`: None where accounts were never backlogged together.
    """

    makespan: float
    bound: float
    p50: float
    p95: float
    longest: float
    over: int
    swaps: int
    jobs: int
    jain: float | None

    @property
    def to_bound(self) -> float:
        return self.makespan / self.bound


def figures(jobs: Sequence[Job], ran: Ran, costs: Costs) -> Figures:
    waits = sorted(run.begin - run.job.at for run in ran.runs if run.job)
    return Figures(
        makespan=max(run.end for run in ran.runs),
        bound=shortest_makespan(jobs, ran.servers, costs),
        p50=waits[len(waits) // 2],
        p95=waits[int(len(waits) * 0.95)],
        longest=waits[-1],
        over=sum(wait > longest_wait(costs.again) for wait in waits),
        swaps=ran.swaps,
        jobs=len(waits),
        jain=fairness(jobs, ran.runs),
    )


def fairness(jobs: Sequence[Job], runs: Sequence[Run]) -> float | None:
    """Jain's index of the GPU seconds that accounts were given while all of them had jobs waiting.

    All have from the last account's first arrival to the first moment at which one has nothing left that waits. A
    run counts as far as it lies in that time, loading included: that is what an account is charged for. Every
    account's fair part is the same.
    """
    begin, end = _all_wait(jobs, runs)
    given: dict[int, float] = dict.fromkeys({job.account for job in jobs}, 0.0)
    if len(given) < 2 or end <= begin:
        return None
    for run in runs:
        if run.job:
            given[run.job.account] += max(min(run.end, end) - max(run.begin, begin), 0.0)
    return sum(given.values()) ** 2 / (len(given) * sum(part**2 for part in given.values()) or 1.0)


def _all_wait(jobs: Sequence[Job], runs: Sequence[Run]) -> tuple[float, float]:
    firsts: dict[int, float] = {}
    for job in jobs:
        firsts.setdefault(job.account, job.at)
    changes: dict[int, list[tuple[float, int]]] = defaultdict(list)
    for run in runs:
        if run.job:
            changes[run.job.account] += [(run.job.at, 1), (run.begin, -1)]
    begin = max(firsts.values())
    return begin, min(_empty_after(begin, changes[account]) for account in firsts)


def _empty_after(begin: float, changes: Sequence[tuple[float, int]]) -> float:
    """The first moment from `begin` on at which nothing waits."""
    waiting: Counter[str] = Counter()
    for at, change in sorted(changes, key=lambda change: (change[0], -change[1])):
        waiting["now"] += change
        if at >= begin and not waiting["now"]:
            return at
    return begin
