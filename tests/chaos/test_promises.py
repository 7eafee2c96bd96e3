"""Each promise of the kill matrix is broken once here, so that a green run means something."""

import dataclasses
import datetime as dt
import uuid
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from tools.chaos import promises
from tools.chaos.acting import Deed
from tools.chaos.alibis import rendered_once
from tools.chaos.asking import ServerError
from tools.chaos.explaining import unexplained
from tools.chaos.facts import AttemptFact, EventFact, Facts, HoldFact, JobFact
from tools.chaos.judging import canceled, server_errors, taken_over
from tools.chaos.leases import Change, LeaseWatch, Loss
from tools.chaos.pictures import Render
from tools.chaos.plan import Plan
from tools.chaos.running import Run

NOON = dt.datetime(2026, 1, 1, 12, tzinfo=dt.UTC)
JOB, PROMPT, OTHER = uuid.UUID(int=1), uuid.UUID(int=2), uuid.UUID(int=3)


def at(seconds: float) -> dt.datetime:
    return NOON + dt.timedelta(seconds=seconds)


def attempt(
    number: int = 1, prompt: uuid.UUID = PROMPT, outcome: str | None = "succeeded", **more: Any
) -> AttemptFact:
    given: dict[str, Any] = {"evidence": None, "claimed_at": at(0), "started_at": at(1), "ended_at": at(9)} | more
    return AttemptFact(JOB, number, prompt, "sim-1", "ended" if outcome else "running", outcome, **given)


def job(state: str = "succeeded", code: str = "") -> JobFact:
    error = {"code": code, "message": "words"} if code else None
    return JobFact(JOB, "0", state, 2, error, 0, 0, 0, at(0), at(9))


GOOD = Facts(
    jobs=[job()],
    attempts=[attempt()],
    events=[
        EventFact(JOB, 1, "output", False, {}),
        EventFact(JOB, 2, "status", True, {"state": "succeeded"}),
    ],
    holds=[HoldFact(JOB, "captured", 5, 5)],
    outputs=[JOB],
)


def but(**changes: Any) -> Facts:
    return dataclasses.replace(GOOD, **changes)


def run_of(facts: Facts = GOOD, **changes: Any) -> Run:
    watch = LeaseWatch(None)  # type: ignore[arg-type]  # nothing is asked here
    given: dict[str, Any] = {
        "plan": Plan(seed=1),
        "began": at(0),
        "ended": at(100),
        "deeds": [],
        "watch": watch,
        "told": [],
        "counts": Counter[str](),
        "errors": [],
        "complaints": [],
        "facts": facts,
        "renders": [],
        "queues": {},
        "logged": Counter[str](),
        "database_hurt": lambda _began, _ended: False,
    }
    return Run(**(given | changes))


def test_a_good_run_breaks_nothing() -> None:
    assert promises.of_the_database(GOOD) == []
    assert promises.accepted_once(GOOD, [0]) == []


@pytest.mark.parametrize(
    "facts",
    [
        but(jobs=[job("running")]),
        but(events=GOOD.events[1:]),
        but(events=[EventFact(JOB, 1, "output", True, {}), GOOD.events[1]]),
        but(events=[GOOD.events[0], EventFact(JOB, 2, "status", True, {"state": "failed"})]),
        but(holds=[]),
        but(holds=[HoldFact(JOB, "held", 5, 0)]),
        but(holds=[HoldFact(JOB, "captured", 5, 10)]),
        but(outputs=[JOB, JOB]),
        but(outputs=[]),
        but(attempts=[attempt(outcome=None)]),
        but(attempts=[attempt(), attempt(2, OTHER)]),
    ],
    ids=[
        "not ended",
        "a gap",
        "two ends",
        "another end",
        "no hold",
        "not charged",
        "charged twice",
        "output twice",
        "no output",
        "an attempt lives",
        "two successes",
    ],
)
def test_what_the_rows_show_is_found(facts: Facts) -> None:
    assert promises.of_the_database(facts)


@pytest.mark.parametrize("numbers", [[0, 1], []], ids=["lost", "not asked for"])
def test_jobs_that_are_lost_or_that_nobody_wanted_are_found(numbers: Sequence[int]) -> None:
    assert promises.accepted_once(GOOD, numbers)


TWICE = but(attempts=[attempt(1, PROMPT, "lost", evidence={"cause": "server_lost"}), attempt(2, OTHER)])
RENDERS = [Render("sim-1", PROMPT, at(8)), Render("sim-1", OTHER, at(20))]


@pytest.mark.parametrize(
    ("deed", "renders", "broken"),
    [
        (None, RENDERS, 1),
        (Deed(0, "kill_server", at(3), at(4), "sim-1"), RENDERS, 0),
        (Deed(0, "kill_server", at(3), at(4), "sim-2"), RENDERS, 1),
        (Deed(0, "kill_server", at(30), at(40), "sim-1"), RENDERS, 1),
        (Deed(0, "kill_dispatcher", at(3), at(4), "dispatcher-1"), RENDERS, 1),
        (Deed(0, "freeze_dispatcher", at(3), at(30), "dispatcher-1"), RENDERS, 1),
        (
            Deed(0, "freeze_dispatcher", at(3), at(30), "dispatcher-1"),
            [Render("sim-1", PROMPT, at(31)), RENDERS[1]],
            0,
        ),
        (None, [RENDERS[1], RENDERS[1]], 2),
    ],
    ids=["none", "its server", "another's", "later", "no alibi", "not late", "late", "one id twice"],
)
def test_a_second_rendering_needs_an_alibi(deed: Deed | None, renders: Sequence[Render], broken: int) -> None:
    found, _ = rendered_once(run_of(TWICE, deeds=[deed] if deed else [], renders=renders))

    assert len(found) == broken


@pytest.mark.parametrize(
    ("code", "evidence", "letters", "explained"),
    [
        ("server_lost", {"cause": "server_lost"}, {JOB: "server_lost"}, True),
        ("server_lost", None, {JOB: "server_lost"}, False),
        ("server_lost", {"cause": "server_lost"}, {}, False),
        ("node_execution_error", {"message": "no"}, {}, False),
        ("internal_error", {"exception": "no"}, {}, False),
        ("timed_out", None, {}, False),
    ],
)
def test_a_failure_needs_its_evidence(code: str, evidence: Any, letters: Any, explained: bool) -> None:
    facts = but(
        jobs=[job("failed", code)], attempts=[attempt(outcome="lost", evidence=evidence)], dead_letters=letters
    )

    assert (not unexplained(run_of(facts))) == explained


def lost(seconds: float | None) -> Callable[[], Run]:
    def made() -> Run:
        run = run_of()
        run.watch.losses.append(Loss(at(0), "dispatcher-1", "sim-1", 1))
        if seconds is not None:
            run.watch.changes.append(Change(at(seconds), "sim-1", 2))
        return run

    return made


@pytest.mark.parametrize(("seconds", "held"), [(19.0, True), (21.0, False), (None, False)])
def test_a_take_over_that_lasts_too_long_is_found(seconds: float | None, held: bool) -> None:
    assert taken_over(lost(seconds)()).held == held


def test_a_take_over_during_an_outage_is_not_judged() -> None:
    run = dataclasses.replace(lost(30.0)(), database_hurt=lambda _began, _ended: True)

    assert taken_over(run).held


def test_errors_and_cancels_of_a_quiet_run_are_none() -> None:
    assert server_errors(run_of()) == canceled(run_of()) == []


@pytest.mark.parametrize(
    ("status", "outage", "broken"), [(500, True, 1), (503, True, 0), (503, False, 1), (502, False, 1)]
)
def test_only_an_outage_of_postgresql_excuses_an_answer_and_only_503(
    status: int, outage: bool, broken: int
) -> None:
    errors = [ServerError(at(1), at(2), status, "GET /", "")]

    found = server_errors(run_of(errors=errors, database_hurt=lambda _began, _ended: outage))

    assert len(found) == broken
