"""The policy keeps its promises in a simulated fleet, in small; the same simulation gives the docs' figures."""

from collections.abc import Sequence

import pytest

from atelier.fleet.policy import longest_wait
from tools.bench.scheduling.bound import shortest_makespan
from tools.bench.scheduling.cases import RULES, greedy
from tools.bench.scheduling.engine import MakeRule, Ran, run
from tools.bench.scheduling.figures import fairness, figures
from tools.bench.scheduling.machines import Costs, Run
from tools.bench.scheduling.ours import Atelier
from tools.bench.scheduling.rivals import RoundRobin
from tools.bench.scheduling.trace import Crowd, Job, Phase, arrivals

ONE, TWO = Costs(lanes=1), Costs(lanes=2)
MIXED = (Phase(30, 0.5), Phase(30, 1.2), Phase(30, 0.3), Phase(60, 1.1))
CROWD = Crowd(accounts=8, greedy=0.3, urgent=0.1)


def mixed(seed: int = 1) -> list[Job]:
    return arrivals(seed, 4, MIXED, CROWD)


@pytest.mark.parametrize("make", RULES.values(), ids=RULES)
@pytest.mark.parametrize("costs", [ONE, TWO], ids=["one lane", "two lanes"])
def test_every_job_runs_once_after_it_came_and_a_server_runs_one_at_a_time(make: MakeRule, costs: Costs) -> None:
    jobs = mixed()

    ran = run(jobs, 4, costs, make)

    assert sorted(numbers(ran)) == [job.number for job in jobs]
    assert all(one.job and one.begin >= one.job.at for one in ran.runs)
    for moment in (one.begin for one in ran.runs):
        assert sum(one.begin <= moment < one.end for one in ran.runs) <= 4


@pytest.mark.parametrize("make", RULES.values(), ids=RULES)
def test_no_schedule_beats_the_bound(make: MakeRule) -> None:
    jobs = mixed()

    found = figures(jobs, run(jobs, 4, ONE, make), ONE)

    assert found.makespan >= shortest_makespan(jobs, 4, ONE)


@pytest.mark.parametrize("accounts", [2, 6])
def test_a_greedy_account_gets_its_part_and_no_more(accounts: int) -> None:
    case = greedy(8, ONE, accounts)

    ours, robin = (figures(case.jobs, run(case.jobs, 8, ONE, make), ONE).jain for make in (Atelier, RoundRobin))

    assert ours is not None
    assert robin is not None
    assert ours >= 0.95 > robin


@pytest.mark.parametrize("seed", range(3))
def test_below_capacity_nobody_waits_over_the_bound(seed: int) -> None:
    jobs = arrivals(seed, 8, [Phase(150, 0.7)], Crowd(accounts=10))

    found = figures(jobs, run(jobs, 8, TWO, Atelier), TWO)

    assert found.over == 0
    assert found.longest <= longest_wait(TWO.swap)


def test_the_same_trace_gives_the_same_schedule() -> None:
    assert run(mixed(), 4, ONE, Atelier) == run(mixed(), 4, ONE, Atelier)


def test_swaps_are_saved_and_the_mixed_trace_is_done_in_little_more_than_half_the_time_of_round_robin() -> None:
    jobs = mixed()

    ours, robin = (figures(jobs, run(jobs, 4, TWO, make), TWO) for make in (Atelier, RoundRobin))

    assert ours.swaps < robin.swaps / 3
    assert ours.makespan <= 0.6 * robin.makespan


def test_a_higher_class_waits_less() -> None:
    jobs = mixed()

    ran = run(jobs, 4, ONE, Atelier)

    urgent, usual = (mean_wait(ran, priority) for priority in (8, 5))
    assert urgent < usual / 3


def test_equal_parts_are_fair_and_all_for_one_is_not() -> None:
    jobs = [Job(number, 0.0, "a", number % 2, 1.0) for number in range(8)]
    in_turn, one_first = jobs, sorted(jobs, key=lambda job: job.account)

    assert fairness(jobs, one_after_the_other(in_turn)) == 1.0
    assert fairness(jobs, one_after_the_other(one_first)) == 0.5


def one_after_the_other(jobs: Sequence[Job]) -> list[Run]:
    return [Run(job, job.lane, begin, 0.0, begin + job.run) for begin, job in enumerate(jobs)]


def numbers(ran: Ran) -> Sequence[int]:
    return [one.job.number for one in ran.runs if one.job]


def mean_wait(ran: Ran, priority: int) -> float:
    waits = [one.begin - one.job.at for one in ran.runs if one.job and one.job.priority == priority]
    return sum(waits) / len(waits)
