"""What may follow what, and what a failure leads to."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atelier.jobs import rules
from atelier.jobs.model import TERMINAL, Cause, Counters, GiveUp, JobState, TryAgain

FRESH = Counters(0, 0, 0)
INFRASTRUCTURE = [cause for cause in Cause if cause is not Cause.DISPATCHER_LOST]


@pytest.mark.parametrize("state", sorted(TERMINAL))
def test_nothing_follows_an_end(state: JobState) -> None:
    assert not any(rules.may_follow(state, after) for after in JobState)


@pytest.mark.parametrize("state", [state for state in JobState if not state.terminal])
def test_an_end_can_be_reached_from_everywhere(state: JobState) -> None:
    reached, before = {state}, set[JobState]()
    while reached != before:
        before = set(reached)
        reached |= {after for one in before for after in JobState if rules.may_follow(one, after)}

    assert reached & TERMINAL


def test_what_is_canceling_can_only_end_canceled() -> None:
    followers = [after for after in JobState if rules.may_follow(JobState.CANCELING, after)]

    assert followers == [JobState.CANCELED]


def test_only_what_a_server_held_or_what_took_the_files_of_another_job_can_succeed() -> None:
    before = {state for state in JobState if rules.may_follow(state, JobState.SUCCEEDED)}

    assert before == {JobState.PREPARING, JobState.CLAIMED, JobState.RUNNING}


@pytest.mark.parametrize("cause", INFRASTRUCTURE)
def test_a_failure_is_tried_again_after_2_then_4_seconds_then_never(cause: Cause) -> None:
    counters, delays = FRESH, list[float | None]()

    for _ in range(3):
        counters = rules.counted(counters, cause, was_running=False)
        verdict = rules.after_failure(counters, cause)
        delays.append(verdict.delay if isinstance(verdict, TryAgain) else None)

    assert delays == [2.0, 4.0, None]


@pytest.mark.parametrize("cause", Cause)
@pytest.mark.parametrize("was_running", [True, False])
def test_only_the_running_prompt_of_a_dead_server_is_suspected(cause: Cause, was_running: bool) -> None:
    counted = rules.counted(FRESH, cause, was_running=was_running)

    deadly = {Cause.SERVER_LOST, Cause.PROMPT_GONE, Cause.QUEUE_WEDGED, Cause.CUDA_FAULT}
    suspected = was_running and cause in deadly
    assert counted.server_deaths == suspected


def test_two_dead_servers_are_poison_before_the_tries_are_used_up() -> None:
    counters = FRESH
    for _ in range(2):
        counters = rules.counted(counters, Cause.SERVER_LOST, was_running=True)

    verdict = rules.after_failure(counters, Cause.SERVER_LOST)

    assert isinstance(verdict, GiveUp)
    assert verdict.error.code == "poison"


def test_a_lost_dispatcher_costs_no_try_and_no_wait_but_three_are_enough() -> None:
    counters, verdicts = FRESH, list[TryAgain | GiveUp]()
    for _ in range(3):
        counters = rules.counted(counters, Cause.DISPATCHER_LOST, was_running=True)
        verdicts.append(rules.after_failure(counters, Cause.DISPATCHER_LOST))

    assert counters == Counters(0, 0, 3)
    assert verdicts[:2] == [TryAgain(0.0), TryAgain(0.0)]
    assert isinstance(verdicts[2], GiveUp)
    assert verdicts[2].error.code == "dispatcher_lost"


@given(st.lists(st.tuples(st.sampled_from(Cause), st.booleans()), min_size=7, max_size=20))
def test_no_history_of_failures_is_endless(history: list[tuple[Cause, bool]]) -> None:
    counters, given_up = FRESH, False

    for cause, was_running in history:
        counters = rules.counted(counters, cause, was_running=was_running)
        verdict = rules.after_failure(counters, cause)
        assert not given_up or isinstance(verdict, GiveUp)
        given_up = isinstance(verdict, GiveUp)

    assert given_up


@pytest.mark.parametrize("cause", Cause)
def test_every_cause_has_words(cause: Cause) -> None:
    assert rules.reason(cause)
