"""The traces that are simulated, each with every way to schedule; quick ones are parts of the full ones."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from tools.bench.scheduling.engine import MakeRule, run
from tools.bench.scheduling.figures import Figures, figures
from tools.bench.scheduling.machines import Costs
from tools.bench.scheduling.ours import Atelier
from tools.bench.scheduling.rivals import LeastLoaded, RoundRobin, SameModelFirst
from tools.bench.scheduling.trace import Crowd, Job, Phase, arrivals, at_once

OURS, ROUND_ROBIN = "Atelier", "round robin"
RULES: Mapping[str, MakeRule] = {
    OURS: Atelier,
    ROUND_ROBIN: RoundRobin,
    "least loaded": LeastLoaded,
    "same model first": SameModelFirst,
}
SEED = 1
LOADS = (0.3, 0.6, 0.7, 0.8, 0.9, 1.0, 1.2)
FEW_LOADS = (0.6, 0.9)
MIXED = (Phase(120, 0.5), Phase(120, 1.2), Phase(120, 0.3), Phase(240, 1.1), Phase(60, 0.6), Phase(240, 1.2))
STEADY_SECONDS = 600.0
ACCOUNTS = (2, 5, 10, 20, 50)
JOBS_OF_ONE, GREED = 40, 10


@dataclass(frozen=True, slots=True)
class Case:
    """`kind`: steady, mixed or greedy; `what`: its load or number of accounts, in words."""

    kind: str
    what: str
    servers: int
    costs: Costs
    jobs: Sequence[Job]

    @property
    def name(self) -> str:
        """With its servers and the lanes that each holds."""
        return f"{self.kind} {self.what}, {self.servers} x {self.costs.lanes}"


@dataclass(frozen=True, slots=True)
class Result:
    case: Case
    by_rule: Mapping[str, Figures]


def cases(*, quick: bool) -> Iterator[Case]:
    """Quick: eight servers, shorter, fewer loads. Sixty-four have eight times as many jobs, so less of them."""
    for servers in (8,) if quick else (8, 64):
        whole = servers == 8 and not quick
        shorter = 1.0 if whole else 0.3
        for lanes in (1, 2):
            yield _mixed(servers, Costs(lanes=lanes), shorter)
            for load in LOADS if whole else FEW_LOADS:
                yield _steady(servers, Costs(lanes=lanes), shorter, load)
    for accounts in (5,) if quick else ACCOUNTS:
        yield greedy(8, Costs(), accounts)


def _steady(servers: int, costs: Costs, shorter: float, load: float) -> Case:
    jobs = arrivals(SEED, servers, [Phase(STEADY_SECONDS * shorter, load)], Crowd(accounts=20))
    return Case("steady", f"{load:.1f}", servers, costs, jobs)


def _mixed(servers: int, costs: Costs, shorter: float) -> Case:
    phases = [Phase(phase.seconds * shorter, phase.load) for phase in MIXED]
    crowd = Crowd(accounts=20, greedy=0.3, urgent=0.1)
    return Case("mixed", "0.3-1.2", servers, costs, arrivals(SEED, servers, phases, crowd))


def greedy(servers: int, costs: Costs, accounts: int) -> Case:
    """All is asked for at once; the first account wants ten times as much as each other one."""
    jobs = at_once(SEED, [JOBS_OF_ONE * GREED, *[JOBS_OF_ONE] * (accounts - 1)])
    return Case("greedy", f"1 of {accounts}", servers, costs, jobs)


def judged(case: Case, say: Callable[[str], None], rules: Mapping[str, MakeRule] = RULES) -> Result:
    """Every way to schedule this trace."""
    by_rule: dict[str, Figures] = {}
    for name, make in rules.items():
        say(f"{case.name}: {name}")
        by_rule[name] = figures(case.jobs, run(case.jobs, case.servers, case.costs, make), case.costs)
    return Result(case, by_rule)
