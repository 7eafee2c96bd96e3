"""A job as a terminal shows it: one line in a list, or all that is known of it."""

import datetime as dt
from collections.abc import Iterator, Sequence
from typing import Any

from atelier.dialects import jobs_v1_wire
from atelier.entry.commands.printing import facts, print_line, rows, span
from atelier.jobs.details import Whole
from atelier.jobs.model import Event, Job, JobState
from atelier.jobs.outlook import Prospect
from atelier.jobs.store.details import Attempt


def row(job: Job, prospect: Prospect) -> dict[str, Any]:
    """For scripts."""
    return {
        "id": str(job.id),
        "state": str(job.state.shown),
        "created": job.created_at,
        "started": job.started_at,
        "finished": job.finished_at,
        "tries": job.tries,
        "outputs": len(job.outputs),
        "error": job.error.code if job.error else None,
        "position": prospect.position,
        "eta_seconds": prospect.eta_seconds,
        "reason": prospect.reason,
        "priority": job.priority,
        "wished_priority": job.wished_priority,
        "end_user": job.end_user,
        "retry_of": str(job.retry_of) if job.retry_of else None,
    }


def line(job: Job, prospect: Prospect) -> dict[str, Any]:
    """What fits into a line of a terminal."""
    return {
        "id": str(job.id),
        "state": str(job.state.shown),
        "created": job.created_at,
        "took": _took(job.created_at, job.finished_at),
        "place": prospect.place,
        "begins_in": span(prospect.eta_seconds),
        "failed_tries": job.tries or None,
        "why": job.error.code if job.error else prospect.reason,
    }


def whole(found: Whole, prospect: Prospect, events: Sequence[Event]) -> dict[str, Any]:
    """All of it, for scripts."""
    job, terms = found.job, found.terms
    outputs = [
        {"asset": str(each.id), "name": each.name, "content_type": each.content_type, "size": each.size}
        for each in job.outputs
    ]
    return {
        **row(job, prospect),
        "account": terms.account,
        "dialect": terms.dialect,
        "lane": terms.lane,
        "run_timeout": terms.run_timeout,
        "waits_until": terms.wait_until,
        "replayed_as": str(terms.replayed_as) if terms.replayed_as else None,
        "attempts": [jobs_v1_wire.attempt(each, with_addresses=True) for each in found.attempts],
        "outputs": outputs,
        "error": job.error.as_json() if job.error else None,
        "events": [
            {"seq": each.seq, "at": each.created_at, "kind": each.kind, "data": dict(each.data)} for each in events
        ],
    }


def tell(found: Whole, prospect: Prospect, events: Sequence[Event]) -> None:
    """All of it, for people."""
    facts(_facts(found, prospect))
    print_line("")
    rows([_attempt(each) for each in found.attempts], script=False, nothing="No server has had it yet.")
    print_line("")
    rows([_step(found.job, each) for each in events], script=False, nothing="No events yet.")
    for sentence in _ends(found.job):
        print_line(sentence)


def _facts(found: Whole, prospect: Prospect) -> dict[str, Any]:
    job, terms = found.job, found.terms
    lowered = f" ({job.wished_priority} was asked for)" if job.wished_priority else ""
    return {
        "job": str(job.id),
        "account": terms.account + (f", for {job.end_user}" if job.end_user else ""),
        "state": str(job.state.shown),
        "why": prospect.reason,
        "place": f"{prospect.place} before it" if prospect.place else "",
        "begins": f"in about {span(prospect.eta_seconds)}" if prospect.eta_seconds is not None else "",
        "created": job.created_at,
        "took": _took(job.created_at, job.finished_at),
        "priority": f"{job.priority}{lowered}",
        "models": terms.lane.replace("|", " + "),
        "run_timeout": span(terms.run_timeout),
        "waits_until": None if job.state.terminal else terms.wait_until,
        "failed_tries": job.tries or None,
        "not_again_on": list(terms.avoid),
        "retry_of": str(job.retry_of) if job.retry_of else "",
        "replayed_as": str(terms.replayed_as) if terms.replayed_as else "",
        "dead_letter": "open: atelier dead-letters replay" if terms.dead else "",
    }


def _attempt(attempt: Attempt) -> dict[str, Any]:
    return {
        "attempt": attempt.number,
        "server": attempt.server_id,
        "claimed": attempt.claimed_at,
        "began_after": span(jobs_v1_wire.seconds_between(attempt.claimed_at, attempt.started_at)),
        "ran": span(jobs_v1_wire.seconds_between(attempt.started_at, attempt.ended_at)),
        "outcome": str(attempt.outcome or attempt.state),
        "evidence": attempt.evidence or {},
    }


def _step(job: Job, event: Event) -> dict[str, Any]:
    return {"after": _took(job.created_at, event.created_at), "what": event.kind, "data": dict(event.data)}


def _ends(job: Job) -> Iterator[str]:
    if job.outputs or job.error:
        yield ""
    for output in job.outputs if job.state is JobState.SUCCEEDED else ():
        yield f"output {output.name}: {output.content_type}, {output.size} bytes, asset {output.id}"
    if job.error:
        yield f"error {job.error.code}: {job.error.message}"


def _took(since: dt.datetime, until: dt.datetime | None) -> str:
    return span((until - since).total_seconds()) if until else ""
