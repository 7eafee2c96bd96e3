"""The native section's figures as JSON, and as rows beside their aims."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.table import Table

from tools.bench import page
from tools.bench.native.crowd import Seen
from tools.bench.native.plan import Plan
from tools.bench.native.product import APART, TOGETHER, WAYS
from tools.bench.native.roundtrip import DIRECT, KINDS, RoundTrips
from tools.bench.turns import quantile

ABOVE_AIM, DELAY_AIM = 10.0, 250.0
"""Milliseconds: the p50 above directly in one process, and the p99 of an event on its way."""

SHARES = {"p50": 0.5, "p95": 0.95, "p99": 0.99}

TRIP_HEAD = ("Round trip, p50 / p95 / p99", "directly", "through Atelier", "above directly", "aim")
CROWD_HEAD = ("Events to open sockets", "p50 / p99", "memory of a socket", "CPU of the API's process", "aim")

NAMES = {TOGETHER: "one process", APART: "`serve` and `dispatch` apart", DIRECT: "directly"}
GRAPHS = {"saved": "EmptyImage into SaveImage", "shown": "EmptyImage into PreviewImage"}

Rows = Sequence[Sequence[str]]
Found = Mapping[str, Any]


def as_json(plan: Plan, trips: RoundTrips, crowds: Sequence[Seen]) -> dict[str, Any]:
    """Durations in milliseconds, memory in KiB."""
    return {
        "round_trips": [_trip(trips, product, kind) for product in WAYS for kind in KINDS],
        "crowd": {
            "jobs": plan.crowd.jobs,
            "accounts": plan.crowd.accounts,
            "step_seconds": plan.crowd.step,
            "ways": [_crowd(seen) for seen in crowds],
        },
        "wrong": trips.wrong + sum(seen.wrong for seen in crowds),
    }


def trip_rows(found: Found) -> Rows:
    return [
        (
            f"{GRAPHS[each['graph']]}, {NAMES[each['product']]}",
            _three(each["direct"]),
            _three(each["atelier"]),
            _three(each["above"], "+"),
            _above_aim(each),
        )
        for each in found["round_trips"]
    ]


def crowd_rows(found: Found) -> Rows:
    crowd = found["crowd"]
    return [
        (
            f"{each['sockets']} sockets, {crowd['jobs']} jobs running, {NAMES[each['way']]}",
            f"{each['p50']:.1f} / {each['p99']:.1f} ms",
            "" if each["way"] == DIRECT else f"{each['kib']:.0f} KiB",
            "" if each["way"] == DIRECT else f"{each['cpu']:.0%} of a core",
            "" if each["way"] == DIRECT else f"at most {DELAY_AIM:.0f} ms: {_met(each['p99'] <= DELAY_AIM)}",
        )
        for each in crowd["ways"]
    ]


def tables(found: Found) -> list[Table]:
    shown = [Table(*TRIP_HEAD), Table(*CROWD_HEAD)]
    for table, rows in zip(shown, (trip_rows(found), crowd_rows(found)), strict=True):
        for row in rows:
            table.add_row(*row)
    return shown


def spelled(found: Found) -> str:
    """The same as Markdown."""
    parts = (page.table(TRIP_HEAD, trip_rows(found)), page.table(CROWD_HEAD, crowd_rows(found)))
    return "\n\n".join((page.measured(found), *parts))


def _trip(trips: RoundTrips, product: str, kind: str) -> dict[str, Any]:
    direct, through = (_quantiles(trips.millis[product, kind, way]) for way in (DIRECT, product))
    above = {share: through[share] - direct[share] for share in SHARES}
    return {"product": product, "graph": kind, "direct": direct, "atelier": through, "above": above}


def _crowd(seen: Seen) -> dict[str, Any]:
    figures = {"way": seen.way, "sockets": seen.sockets, "events": len(seen.millis), "kib": seen.kib}
    return figures | {"cpu": seen.cpu, **_quantiles(seen.millis)}


def _quantiles(millis: list[float]) -> dict[str, float]:
    return {name: quantile(millis, share) for name, share in SHARES.items()}


def _three(figures: Mapping[str, float], sign: str = "") -> str:
    return " / ".join(f"{sign}{figures[share]:.1f}" for share in SHARES) + " ms"


def _above_aim(each: Found) -> str:
    if each["product"] != TOGETHER:
        return ""
    return f"p50 at most +{ABOVE_AIM:.0f}: {_met(each['above']['p50'] <= ABOVE_AIM)}"


def _met(met: object) -> str:
    return "met" if met else "missed"
