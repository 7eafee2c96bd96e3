"""Whether every promise held: what was promised, how often it was looked at, and each break with its evidence."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from tools.chaos import promises
from tools.chaos.alibis import rendered_once
from tools.chaos.explaining import unexplained
from tools.chaos.running import Run
from tools.chaos.takeovers import WOKE, TakeOver, take_overs

UNAVAILABLE = 503


@dataclass(frozen=True, slots=True)
class Promise:
    """`looked` says what it was looked for in."""

    words: str
    looked: str
    broken: Sequence[str]

    @property
    def held(self) -> bool:
        return not self.broken


def judged(run: Run) -> Sequence[Promise]:
    """All promises of a run, in the order in which they are shown."""
    rows, jobs = run.facts, f"{len(run.facts.jobs)} jobs"
    return [
        Promise("each accepted job is there once", jobs, promises.accepted_once(rows, _accepted(run))),
        Promise("each has exactly one terminal state", jobs, promises.unfinished(rows)),
        Promise(
            "each has one terminal event, the last; no gap before it",
            f"{len(rows.events)} events",
            promises.told_once(rows),
        ),
        Promise("clients saw one end, and the same as the database", f"{len(run.told)} clients", clients_saw(run)),
        Promise("outputs are readable, right, and not doubled", f"{len(rows.outputs)} outputs", _outputs(run)),
        Promise("nothing is charged twice", f"{len(rows.holds)} holds", promises.charged_once(rows)),
        Promise("no attempt lives on", f"{len(rows.attempts)} attempts", promises.attempts_over(rows)),
        Promise("what is asked to be canceled ends canceled", _count_cancels(run), canceled(run)),
        Promise("each failure is explained, with its evidence", _count_failures(run), unexplained(run)),
        rendered(run),
        taken_over(run),
        Promise("a lease's fence only grows", f"{len(run.watch.changes)} changes", run.watch.backwards),
        Promise("the servers' queues are empty at the end", f"{len(run.queues)} servers", _full(run)),
        Promise("no answer of 500 or more, but 503 in an outage", _count_errors(run), server_errors(run)),
        Promise("no process ends by itself; all stop in order", f"{len(run.stops)} processes", _processes(run)),
        Promise("no process is left over", "all processes", run.left_over),
    ]


def _accepted(run: Run) -> list[int]:
    return [one.order.number for one in run.told]


def clients_saw(run: Run) -> list[str]:
    states = {str(job.id): job.state for job in run.facts.jobs}
    broken = [f"job {one.order.number} ({one.job_id}): {wrong}" for one in run.told for wrong in one.wrong]
    for one in run.told:
        state = states.get(str(one.job_id))
        if one.state is None or one.state != state:
            broken.append(f"the client of job {one.order.number} saw {one.state}, the database says {state}")
    return broken


def _outputs(run: Run) -> list[str]:
    unseen = [one for one in run.told if one.state == "succeeded" and not one.picture_was_right]
    return [
        *promises.made_once(run.facts),
        *(f"job {one.order.number} ({one.job_id}) has no right picture" for one in unseen),
    ]


def canceled(run: Run) -> list[str]:
    """Once `canceling` is answered the job can only end canceled; nobody else's job does."""
    broken: list[str] = []
    for one in run.told:
        asked = one.order.cancel_after is not None
        if one.cancel_answered in {"canceling", "canceled"} and one.state != "canceled":
            broken.append(f"job {one.order.number} was {one.cancel_answered} and ended {one.state}")
        if one.state == "canceled" and not asked:
            broken.append(f"nobody asked to cancel job {one.order.number}")
    return broken


def rendered(run: Run) -> Promise:
    broken, again = rendered_once(run)
    excused = sum(again.values())
    looked = f"{len(run.renders)} pictures on disks; {excused} again, for servers' deaths and faults, or late"
    return Promise("nothing is rendered twice when its server lived", looked, broken)


def taken_over(run: Run) -> Promise:
    found = take_overs(run)
    limit = run.plan.take_over
    measured = [one.seconds for one in found if one.seconds is not None and not one.set_aside]
    aside = sum(bool(one.set_aside) for one in found)
    looked = f"{len(measured)} take-overs, {aside} more set aside (outage, nobody there, busy machine)"
    words = f"a dead dispatcher's servers are taken within {limit:g} s" if limit else "every lost server is taken"
    return Promise(words, looked, [*_never_taken(found), *_taken_late(found, limit)])


def _never_taken(found: Sequence[TakeOver]) -> list[str]:
    """An outage is no excuse for that: it ends."""
    return [
        f"nobody took {one.loss.server} from {one.loss.dispatcher}"
        for one in found
        if one.seconds is None and one.set_aside != WOKE
    ]


def _taken_late(found: Sequence[TakeOver], limit: float | None) -> list[str]:
    return [
        f"{one.loss.server} of {one.loss.dispatcher} was taken after {one.seconds:.1f} s"
        for one in found
        if limit and not one.set_aside and one.seconds is not None and one.seconds > limit
    ]


def server_errors(run: Run) -> list[str]:
    """Answers of 500 or more, but for a 503 in an outage of PostgreSQL: those are counted only."""
    return [
        f"{error.request}: {error.status} {error.body}"
        for error in run.errors
        if error.status != UNAVAILABLE or not run.database_hurt(error.began, error.ended)
    ]


def _count_errors(run: Run) -> str:
    excused = len(run.errors) - len(server_errors(run))
    return f"{run.counts['requests answered']} answers; {excused} of 503 in outages of PostgreSQL"


def _count_cancels(run: Run) -> str:
    return f"{sum(one.order.cancel_after is not None for one in run.told)} cancels"


def _count_failures(run: Run) -> str:
    codes = Counter(job.code for job in run.facts.jobs if job.state == "failed")
    return ", ".join(f"{count} {code}" for code, count in codes.most_common()) or "none failed"


def _full(run: Run) -> list[str]:
    return [f"{name} still holds {held} prompts (-1: no answer)" for name, held in run.queues.items() if held]


def _processes(run: Run) -> list[str]:
    odd = [f"{name} stopped with {code}" for name, code in run.stops.items() if code != 0]
    return [*run.complaints, *odd]
