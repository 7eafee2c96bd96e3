"""What came of a run: one document for programs, one table for people."""

from typing import Any

from rich.table import Table

from tools.bench.report import about
from tools.bench.turns import quantile
from tools.load.plan import Plan
from tools.load.run import Ran

LISTED = 20
"""Broken promises that are told one by one."""


def report(ran: Ran) -> dict[str, Any]:
    """Seconds, MiB, counts. `good` when every promise was kept."""
    tally, plan = ran.tally, ran.plan
    times = [job.seconds for job in tally.jobs.values() if job.status == "succeeded"]
    return about(quick=plan.seconds < 300) | {
        "good": not ran.broken,
        "users": plan.users,
        "seconds": ran.seconds,
        "seed": plan.seed,
        "accepted": sum(1 for job in tally.jobs.values() if job.job_id),
        "ended": dict(tally.ended()),
        "stored": len(ran.jobs),
        "rate": sum(tally.ended().values()) / ran.seconds,
        "cancels_asked": sum(1 for job in tally.jobs.values() if job.cancel_asked),
        "job_seconds": {"p50": quantile(times, 0.5), "p99": quantile(times, 0.99)},
        "followed": dict(tally.followed),
        "pictures": tally.downloads,
        "answers": {str(status): count for status, count in sorted(tally.answers.items())},
        "connections_lost": tally.broken,
        "faults": dict(ran.weather),
        "memory_bound_mib": plan.memory_bound,
        "processes": {name: _process(plan, ran, name) for name in ran.curves},
        "broken": ran.broken[:LISTED],
        "broken_count": len(ran.broken),
    }


def _process(plan: Plan, ran: Ran, name: str) -> dict[str, float]:
    curve = ran.curves[name].since(plan.warm_up)
    if not curve.samples:
        return {}
    first, last = curve.samples[0], curve.samples[-1]
    return {
        "warm_mib": first.memory,
        "last_mib": last.memory,
        "growth_mib": curve.growth,
        "slope_mib_per_minute": curve.slope,
        "files_warm": first.files,
        "files_last": last.files,
        "core_share": curve.busy,
    }


def table(found: dict[str, Any]) -> Table:
    """The same for a terminal."""
    title = f"{found['users']} users, {found['seconds']:.0f} s, seed {found['seed']}, {found['machine']['words']}"
    shown = Table(title=title, title_justify="left", show_header=False)
    times, ended = found["job_seconds"], _counts(found["ended"])
    rows = [
        ("Jobs", f"{found['accepted']} accepted, {found['rate']:.1f}/s; ended: {ended}; {found['stored']} stored"),
        ("From submit to end, p50 / p99", f"{times['p50']:.2f} / {times['p99']:.2f} s"),
        ("Followed", _counts(found["followed"])),
        ("Cancels asked for", str(found["cancels_asked"])),
        ("Pictures fetched and checked", str(found["pictures"])),
        ("Answers by status", _counts(found["answers"])),
        ("Connections to the API that broke", str(found["connections_lost"])),
        ("Faults before the servers", _counts(found["faults"])),
    ]
    for what, told in rows:
        shown.add_row(what, told)
    shown.add_section()
    for name, figures in found["processes"].items():
        shown.add_row(f"Memory of {name} after warm-up", _memory(figures, found["memory_bound_mib"]))
    shown.add_section()
    shown.add_row("Broken promises", str(found["broken_count"]) if found["broken_count"] else "none")
    for sentence in found["broken"]:
        shown.add_row("", sentence)
    return shown


def _memory(figures: dict[str, float], bound: float) -> str:
    if not figures:
        return "not seen: the run was too short"
    memory = f"{figures['warm_mib']:.1f} -> {figures['last_mib']:.1f} MiB"
    slope = f"slope {figures['slope_mib_per_minute']:+.2f} MiB/min"
    grown = f"{figures['growth_mib']:+.1f} in all (at most {bound:.0f})"
    files = f"files {figures['files_warm']:.0f} -> {figures['files_last']:.0f}"
    return f"{memory}, {slope}, {grown}; {files}; {figures['core_share']:.0%} of a core"


def _counts(counted: dict[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in counted.items()) or "none"
