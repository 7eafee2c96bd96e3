"""The fleet's figures as JSON, and as rows beside their aims."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from rich.table import Table

from tools.bench import page
from tools.bench.fleet.claiming import Taken
from tools.bench.fleet.crowd import Crowd
from tools.bench.fleet.plan import USUAL_ACCOUNTS
from tools.bench.fleet.runs import Saturated
from tools.bench.fleet.throughput import Split, Used
from tools.bench.turns import quantile

SCALING_AIM, BUSY_AIM, CLAIM_AIM = 0.97, 0.99, 1.5

Rows = Sequence[Sequence[str]]
Found = Mapping[str, Any]

HEADS: Mapping[str, Sequence[str]] = {
    "scaling": (
        "1 s jobs, some always waiting",
        "ideal",
        "directly",
        "through Atelier",
        "of directly",
        "of the ideal",
    ),
    "busy": ("Saturated servers", "busy directly", "busy through Atelier", "gap p50 / p99", "aim"),
    "claims": ("To claim a job, p50 / p99", "reading", "claim", "both", "beside the shortest queue"),
    "dispatchers": ("Fleet", "one dispatcher", "two", "servers of each", "jobs of each"),
    "memory": ("A dispatcher with", "idle", "after 2 jobs a server", "CPU while idle"),
}


def used_json(used: Used) -> dict[str, Any]:
    return {
        "servers": used.asked.servers,
        "step_seconds": used.asked.step,
        "ideal": used.ideal,
        "direct": _saturated(used.direct),
        "atelier": _saturated(used.through),
        "of_ideal": used.through.rate / used.ideal,
        "wrong": used.wrong,
    }


def taken_json(taken: Sequence[Taken]) -> list[dict[str, Any]]:
    """With the ratio of each queue's median to the first one's, both taken in turns in one run."""
    first = quantile(taken[0].both, 0.5)
    return [
        {
            "jobs": each.depth.jobs,
            "requirements": each.depth.requirements,
            "accounts": each.depth.accounts,
            "name": each.depth.name,
            "claims": len(each.both),
            "ratio": quantile(each.both, 0.5) / first,
            **{name: _quantiles(getattr(each, name)) for name in ("reading", "claim", "both")},
        }
        for each in taken
    ]


def split_json(split: Split) -> dict[str, Any]:
    return {
        "one": _saturated(split.one),
        "two": _saturated(split.two),
        "ratio": split.two.rate / split.one.rate,
        "servers": list(split.servers),
        "jobs": list(split.jobs),
        "accounts": list(split.accounts),
        "jain": jain(split.accounts),
        "wrong": split.wrong,
    }


def crowd_json(crowd: Crowd) -> dict[str, Any]:
    return {"few": asdict(crowd.few), "many": asdict(crowd.many), "wrong": crowd.wrong}


def scaling_rows(found: Sequence[Found]) -> Rows:
    return [
        (
            f"{each['servers']} server{'s' if each['servers'] > 1 else ''}",
            f"{each['ideal']:.1f}/s",
            f"{each['direct']['rate']:.2f}/s",
            f"{each['atelier']['rate']:.2f}/s",
            f"{each['atelier']['rate'] / each['direct']['rate']:.1%}",
            f"{each['of_ideal']:.1%} (at least {SCALING_AIM:.0%}): {_met(each['of_ideal'] >= SCALING_AIM)}",
        )
        for each in found
    ]


def busy_rows(found: Sequence[Found]) -> Rows:
    return [
        (
            f"{each['servers']} servers, jobs of {1000 * each['step_seconds']:.0f} ms",
            f"{each['direct']['busy']:.2%}",
            f"{each['atelier']['busy']:.2%}",
            f"{each['atelier']['gap_p50']:.1f} / {each['atelier']['gap_p99']:.1f} ms",
            f"at least {BUSY_AIM:.0%}: {_met(each['atelier']['busy'] >= BUSY_AIM)}",
        )
        for each in found
    ]


def claim_rows(found: Sequence[Found]) -> Rows:
    return [
        (each["name"], *(_two(each[name]) for name in ("reading", "claim", "both")), _ratio(each, number))
        for number, each in enumerate(found)
    ]


def split_rows(found: Found) -> Rows:
    one, two = found["one"], found["two"]
    jobs = " + ".join(map(str, found["jobs"]))
    return [
        (
            f"{one['servers']} servers, jobs of {one['run_millis']:.0f} ms",
            f"{one['rate']:.2f}/s, {one['busy']:.2%} busy",
            f"{two['rate']:.2f}/s, {two['busy']:.2%} busy ({found['ratio']:.2f} x)",
            " + ".join(map(str, found["servers"])),
            f"{jobs}; Jain's index of {len(found['accounts'])} accounts {found['jain']:.3f}",
        )
    ]


def crowd_rows(found: Found) -> Rows:
    return [
        (
            f"{each['servers']} servers",
            _memory(each["idle"]),
            _memory(each["worked"]),
            f"{each['core']:.1%} of a core",
        )
        for each in (found["few"], found["many"])
    ]


def rows(name: str, found: Any) -> Rows:
    """The rows of one part, by its name in the document."""
    made: Mapping[str, Any] = {
        "scaling": scaling_rows,
        "busy": busy_rows,
        "claims": claim_rows,
        "dispatchers": split_rows,
        "memory": crowd_rows,
    }
    told: Rows = made[name](found)
    return told


def tables(found: Found) -> list[Table]:
    """One for each part that was measured, for a terminal."""
    shown: list[Table] = []
    for name in (name for name in HEADS if name in found):
        table = Table(*HEADS[name])
        for row in rows(name, found[name]):
            table.add_row(*row)
        shown.append(table)
    return shown


def spelled(found: Found) -> str:
    """The same as Markdown."""
    parts = [page.table(HEADS[name], rows(name, found[name])) for name in HEADS if name in found]
    return "\n\n".join([page.measured(found), *parts])


def jain(given: Sequence[float]) -> float:
    """Jain's index of fairness: 1 when all were given the same, 1/n when one was given everything."""
    return sum(given) ** 2 / (len(given) * sum(each * each for each in given)) if any(given) else 0.0


def _saturated(seen: Saturated) -> dict[str, Any]:
    return {
        "servers": seen.servers,
        "seconds": seen.seconds,
        "rate": seen.rate,
        "busy": seen.busy,
        "run_millis": seen.run_millis,
        "gap_p50": seen.gap_p50,
        "gap_p99": seen.gap_p99,
    }


def _quantiles(millis: list[float]) -> dict[str, float]:
    return {"p50": quantile(millis, 0.5), "p99": quantile(millis, 0.99)}


def _two(figures: Mapping[str, float]) -> str:
    return f"{figures['p50']:.2f} / {figures['p99']:.2f} ms"


def _ratio(each: Found, number: int) -> str:
    """The aim is about jobs and requirement sets; how much many waiting accounts cost is told beside it."""
    if number == 0:
        return ""
    ratio, aimed = each["ratio"], each["accounts"] == USUAL_ACCOUNTS
    return f"{ratio:.2f} x" + (f" (at most {CLAIM_AIM}): {_met(ratio <= CLAIM_AIM)}" if aimed else "")


def _memory(memory: Mapping[str, float]) -> str:
    return f"{memory['resident']:.0f} MiB resident, {memory['proportional']:.0f} MiB proportional"


def _met(met: object) -> str:
    return "met" if met else "missed"
