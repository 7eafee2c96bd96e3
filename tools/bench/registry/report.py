"""The registry section's figures as JSON, and as rows beside their aims."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.table import Table

from tools.bench import page
from tools.bench.native.product import APART, TOGETHER
from tools.bench.registry.asking import DRAWN, NAMED, RAW
from tools.bench.registry.measuring import Batch, Figures
from tools.bench.registry.plan import Plan
from tools.bench.turns import mean, quantile

ABOVE_AIM, CACHED_AIM = 3.0, 8.0
"""Milliseconds: the p50 above the raw graph, and the p50 of an answer that was there."""

SHARES = {"p50": 0.5, "p95": 0.95, "p99": 0.99}
STEPS = {
    "accepted": "the `POST` alone",
    "ended": "until the end is heard",
    "told": "from the end to its event",
}
WORKFLOWS = {DRAWN: "its seed drawn", NAMED: "its seed named"}
NAMES = {TOGETHER: "one process", APART: "`serve` and `dispatch` apart"}

TRIP_HEAD = ("One job, p50 / p95 / p99", "the raw graph", "the workflow", "above the raw graph", "aim")
OTHER_HEAD = ("", "figure", "aim")

Rows = Sequence[Sequence[str]]
Found = Mapping[str, Any]


def as_json(plan: Plan, found: Figures) -> dict[str, Any]:
    """Milliseconds; of batches seconds and MiB."""
    return {
        "trips": [
            _trip(found, product, step, way)
            for product in (TOGETHER, APART)
            for step in STEPS
            for way in WORKFLOWS
        ],
        "cached": _quantiles(found.cached),
        "cached_answers": len(found.cached),
        "batch": {"items": plan.items, **_batch(found.batches)},
        "wrong": found.wrong,
    }


def trip_rows(found: Found) -> Rows:
    return [
        (
            f"{STEPS[each['step']]}, {WORKFLOWS[each['way']]}, {NAMES[each['product']]}",
            _three(each["raw"]),
            _three(each["workflow"]),
            _three(each["above"], "+"),
            _above_aim(each),
        )
        for each in found["trips"]
    ]


def other_rows(found: Found) -> Rows:
    batch = found["batch"]
    memory = f"{batch['before']:.0f} → {batch['highest']:.0f} → {batch['after']:.0f} MiB"
    return [
        (
            "An answer that was there already, p50 / p95 / p99",
            _three(found["cached"]),
            f"p50 at most {CACHED_AIM:.0f}: {_met(found['cached']['p50'] <= CACHED_AIM)}",
        ),
        (f"{batch['items']:,} items in one call, accepted in", f"{batch['seconds']:.2f} s", ""),
        ("memory of the API's process: before, at its highest, when all had run", memory, ""),
        ("until all of them had run, on one server", f"{batch['drained']:.1f} s", ""),
    ]


def tables(found: Found) -> list[Table]:
    shown = [Table(*TRIP_HEAD), Table(*OTHER_HEAD)]
    for table, rows in zip(shown, (trip_rows(found), other_rows(found)), strict=True):
        for row in rows:
            table.add_row(*row)
    return shown


def spelled(found: Found) -> str:
    """The same as Markdown."""
    parts = (page.table(TRIP_HEAD, trip_rows(found)), page.table(OTHER_HEAD, other_rows(found)))
    return "\n\n".join((page.measured(found), *parts))


def _trip(found: Figures, product: str, step: str, way: str) -> dict[str, Any]:
    raw, workflow = (_quantiles(getattr(found.trips[product, each], step)) for each in (RAW, way))
    above = {share: workflow[share] - raw[share] for share in SHARES}
    return {"product": product, "step": step, "way": way, "raw": raw, "workflow": workflow, "above": above}


def _batch(batches: Sequence[Batch]) -> dict[str, float]:
    """The mean of all calls; of memory what the first of them began with and the most that any had."""
    return {
        "seconds": mean([one.seconds for one in batches]),
        "accepted": mean([float(one.accepted) for one in batches]),
        "before": batches[0].before,
        "highest": max(one.highest for one in batches),
        "after": batches[-1].after,
        "drained": mean([one.drained for one in batches]),
    }


def _quantiles(millis: list[float]) -> dict[str, float]:
    return {name: quantile(millis, share) for name, share in SHARES.items()}


def _three(figures: Mapping[str, float], sign: str = "") -> str:
    """`sign` + : of differences."""
    return " / ".join(f"{figures[share]:{sign}.1f}" for share in SHARES) + " ms"


def _above_aim(each: Found) -> str:
    if each["product"] != TOGETHER or each["step"] == "told":
        return ""
    return f"p50 at most +{ABOVE_AIM:.0f}: {_met(each['above']['p50'] <= ABOVE_AIM)}"


def _met(met: object) -> str:
    return "met" if met else "missed"
