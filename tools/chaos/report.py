"""A run as one document: for JSON, for the terminal, for the docs."""

import datetime as dt
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from rich.table import Table

from tools.chaos.acting import Deed
from tools.chaos.alibis import rendered_once
from tools.chaos.deck import KINDS
from tools.chaos.judging import Promise
from tools.chaos.running import Run
from tools.chaos.takeovers import take_overs

FIRST_BREAKS = 5
QUIET = "none"


def report(run: Run, promises: Sequence[Promise]) -> dict[str, Any]:
    """Everything as JSON. Durations in seconds."""
    return {
        "seed": run.plan.seed,
        "held": all(promise.held for promise in promises),
        "began": run.began.isoformat(),
        "seconds": round((run.ended - run.began).total_seconds(), 1),
        "jobs": dict(Counter(job.state for job in run.facts.jobs)),
        "failures": dict(Counter(job.code for job in run.facts.jobs if job.state == "failed")),
        "sorts": dict(Counter(one.order.sort for one in run.told)),
        "deeds": _deeds(run),
        "timeline": [_moment(deed) for deed in run.deeds],
        "attempts": dict(Counter(str(attempt.outcome) for attempt in run.facts.attempts)),
        "retries": dict(Counter(str(e.data.get("reason")) for e in run.facts.events if e.kind == "retry")),
        "dead_letters": dict(Counter(run.facts.dead_letters.values())),
        "server_events": dict(Counter(event.kind for event in run.facts.server_events)),
        "rendered_again": dict(rendered_once(run)[1]),
        "take_over": _take_over(run),
        "requests": dict(run.counts) | {"answers of 500 or more": len(run.errors)},
        "accepted_without_answer": sum(one.asked_twice for one in run.told),
        "logged": dict(run.logged.most_common()),
        "waits": _waits(run),
        "promises": [
            {"promise": one.words, "looked": one.looked, "held": one.held, "broken": list(one.broken)}
            for one in promises
        ],
    }


def _deeds(run: Run) -> dict[str, dict[str, int]]:
    done = Counter(deed.kind for deed in run.deeds if deed.target)
    skipped = Counter(deed.kind for deed in run.deeds if not deed.target)
    return {kind: {"done": done[kind], "skipped": skipped[kind]} for kind in KINDS if done[kind] or skipped[kind]}


def _moment(deed: Deed) -> str:
    """When a deed was done, by the clock of the logs, and to whom."""
    ended = f"{deed.ended:%H:%M:%S}" if deed.ended else "?"
    return f"{deed.began:%H:%M:%S}-{ended} {deed.kind} {deed.target or 'nobody'} {deed.words}".rstrip()


def _take_over(run: Run) -> dict[str, Any]:
    found = take_overs(run)
    judged = sorted(one.seconds for one in found if one.seconds is not None and not one.set_aside)
    return {
        "judged": len(judged),
        "p50": round(judged[len(judged) // 2], 1) if judged else None,
        "max": round(judged[-1], 1) if judged else None,
        "set_aside": dict(Counter(one.set_aside for one in found if one.set_aside)),
        "each": [
            {
                "at": f"{one.loss.at:%H:%M:%S}",
                "from": one.loss.dispatcher,
                "server": one.loss.server,
                "seconds": one.seconds,
                "set_aside": one.set_aside,
            }
            for one in found
        ],
    }


def _waits(run: Run) -> dict[str, float]:
    """From accepted to ended, of jobs that succeeded."""
    lasted = sorted(
        (job.finished_at - job.created_at).total_seconds()
        for job in run.facts.jobs
        if job.finished_at is not None and job.state == "succeeded"
    )
    if not lasted:
        return {}
    return {"p50": round(lasted[len(lasted) // 2], 1), "max": round(lasted[-1], 1)}


def deed_rows(found: Mapping[str, Any]) -> list[tuple[str, str]]:
    return [(KINDS[kind].words, str(counts["done"])) for kind, counts in found["deeds"].items()]


def outcome_rows(found: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What came of it, in words and figures."""
    over, aside = found["take_over"], sum(found["take_over"]["set_aside"].values())
    taken = f"p50 {over['p50']} s, longest {over['max']} s of {over['judged']}"
    rows = [
        ("jobs", _counted(found["jobs"])),
        ("jobs that failed", _counted(found["failures"])),
        ("attempts", _counted(found["attempts"])),
        ("retries", _counted(found["retries"])),
        ("dead letters", _counted(found["dead_letters"])),
        ("events of servers", _counted(found["server_events"])),
        ("take-over after a dispatcher's death", taken),
        ("take-overs set aside", f"{aside}: {_counted(over['set_aside'])}"),
        ("pictures rendered again", _counted(found["rendered_again"])),
        ("strays stopped", str(found["logged"].get("stray.stopped", 0))),
        ("requests of clients", _counted(found["requests"])),
        ("jobs accepted whose answer was lost", str(found["accepted_without_answer"])),
    ]
    if found["waits"]:
        rows.append(("from accepted to done", f"p50 {found['waits']['p50']} s, longest {found['waits']['max']} s"))
    return rows


def promise_rows(found: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    return [
        (one["promise"], one["looked"], "held" if one["held"] else f"BROKEN {len(one['broken'])} times")
        for one in found["promises"]
    ]


def _counted(counts: Mapping[str, int]) -> str:
    return "; ".join(f"{count} {what}" for what, count in sorted(counts.items(), key=lambda one: -one[1])) or QUIET


def tables(found: Mapping[str, Any]) -> Sequence[Table]:
    """What was done, what came of it, and whether every promise held."""
    title = f"seed {found['seed']}: {sum(found['jobs'].values())} jobs in {found['seconds']:.0f} s"
    done = _table(f"What was done ({title})", ("deed", "times"), deed_rows(found))
    came = _table("What came of it", ("what", "how much"), outcome_rows(found))
    held = _table("What was promised", ("promise", "looked at", ""), promise_rows(found))
    return done, came, held


def breaks(found: Mapping[str, Any]) -> list[str]:
    """The evidence of the first breaks of each promise."""
    return [f"{one['promise']}: {broken}" for one in found["promises"] for broken in one["broken"][:FIRST_BREAKS]]


def _table(title: str, head: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    shown = Table(title=title, title_justify="left")
    for column in head:
        shown.add_column(column)
    for row in rows:
        shown.add_row(*row)
    return shown


def day(found: Mapping[str, Any]) -> dt.date:
    return dt.datetime.fromisoformat(found["began"]).date()
