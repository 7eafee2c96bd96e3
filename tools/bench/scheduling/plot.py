"""docs/scheduling.png: how waiting grows with the load, and how long the mixed trace takes, by way to schedule."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tools.bench.scheduling.cases import Result

FEWEST = 0.1
"""Waits below this (seconds) are drawn as this: the scale is logarithmic."""


def draw(results: Sequence[Result], path: Path) -> None:
    """Write the picture. Drawn on eight servers that hold one lane each."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    some = [result for result in results if result.case.servers == 8 and result.case.costs.lanes == 1]
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.2))
    _waits(left, [result for result in some if result.case.kind == "steady"])
    _makespans(right, [result for result in results if result.case.kind == "mixed"])
    figure.tight_layout()
    figure.savefig(path, dpi=110, metadata={"Software": None})
    plt.close(figure)


def _waits(axes: Any, steady: Sequence[Result]) -> None:
    loads = [float(result.case.what) for result in steady]
    for rule in steady[0].by_rule:
        axes.plot(loads, [max(result.by_rule[rule].p95, FEWEST) for result in steady], marker="o", label=rule)
    axes.set_yscale("log")
    axes.set_xlabel("load (seconds of work that arrive in a second, for each server)")
    axes.set_ylabel("wait, 95 % (s)")
    axes.set_title("8 servers, one lane each")
    axes.legend()


def _makespans(axes: Any, mixed: Sequence[Result]) -> None:
    names = [f"{result.case.servers} servers\n{result.case.costs.lanes} lanes" for result in mixed]
    rules = list(mixed[0].by_rule)
    width = 0.8 / len(rules)
    for number, rule in enumerate(rules):
        places = [place + number * width for place in range(len(mixed))]
        axes.bar(places, [result.by_rule[rule].to_bound for result in mixed], width, label=rule)
    axes.axhline(1.0, color="black", linewidth=0.8)
    axes.set_xticks([place + 0.4 - width / 2 for place in range(len(mixed))], names)
    axes.set_ylabel("makespan / clairvoyant bound")
    axes.set_title("Mixed trace")
