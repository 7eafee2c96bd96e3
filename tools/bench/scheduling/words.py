"""The figures of the simulation as tables, for the terminal and for the docs, and how they stand to the aims."""

from collections.abc import Iterable, Iterator, Sequence

from rich import box
from rich.table import Table

from tools.bench.page import table as markdown
from tools.bench.scheduling.cases import OURS, ROUND_ROBIN, Result
from tools.bench.scheduling.endtoend import AGREES_WITHIN, RUN, Compared
from tools.bench.scheduling.figures import Figures

HEAD = ("trace", "rule", "makespan", "/ bound", "p50 / p95 / longest", "over", "swaps", "Jain")
NUMBERS = 2
"""From this column on, figures stand to the right."""

AIMS_HEAD = ("aim", "found", "wanted", "")

Row = tuple[str, ...]


def rows(results: Iterable[Result]) -> Iterator[Row]:
    """One for each trace and rule; the trace is named once."""
    for result in results:
        named = result.case.name
        for rule, found in result.by_rule.items():
            jain = f"{found.jain:.3f}" if result.case.kind == "greedy" and found.jain is not None else ""
            yield (named, rule, *_figures(found), jain)
            named = ""


def _figures(found: Figures) -> Row:
    return (
        f"{found.makespan:.0f} s",
        f"{found.to_bound:.2f}",
        f"{found.p50:.1f} / {found.p95:.1f} / {found.longest:.0f}",
        f"{100 * found.over / found.jobs:.1f} %",
        str(found.swaps),
    )


def end_to_end(compared: Compared) -> Iterator[Row]:
    """The real run beside the simulation, as rows of the aims."""
    played, simulated, told = compared.played, compared.simulated, compared.told
    yield _aim(
        f"on servers {played.makespan:.1f} s, {played.swaps} swaps",
        f"simulated {simulated.makespan:.1f} s, {simulated.swaps}: {100 * compared.apart:.0f} % apart",
        "<= 15 %",
        met=compared.apart <= AGREES_WITHIN,
    )
    yield _aim(
        f"a run took {1000 * played.run:.0f} ms there, not {1000 * RUN:.0f}",
        f"simulated so {told.makespan:.1f} s: {100 * compared.apart_told:.0f} % apart",
        "<= 15 %",
        met=compared.apart_told <= AGREES_WITHIN,
    )


def aims(results: Sequence[Result]) -> Iterator[Row]:
    """What was aimed at, what came out at worst, and whether that is enough."""
    mixed = [result for result in results if result.case.kind == "mixed"]
    greedy = [result.by_rule[OURS].jain or 0.0 for result in results if result.case.kind == "greedy"]
    worst = max(result.by_rule[OURS].to_bound for result in mixed)
    beside = max(result.by_rule[OURS].makespan / result.by_rule[ROUND_ROBIN].makespan for result in mixed)
    yield _aim("mixed trace: makespan", f"{worst:.2f} x the bound", "<= 1.10 x", met=worst <= 1.10)
    yield _aim("mixed trace: beside round robin", f"{beside:.2f} x", "<= 0.6 x", met=beside <= 0.6)
    yield _aim("greedy account: Jain's index", f"{min(greedy):.3f}", ">= 0.95", met=min(greedy) >= 0.95)
    yield from _waits(results)


def _waits(results: Sequence[Result]) -> Iterator[Row]:
    """Below capacity: less work arrives than the servers could run if loading took no time."""
    for result in results:
        found, case = result.by_rule[OURS], result.case
        if case.kind == "steady" and float(case.what) < 1.0:
            words = f"{found.over} of {found.jobs}, longest {found.longest:.0f} s"
            yield _aim(f"{case.name}: over the bound", words, "0", met=not found.over)


def _aim(name: str, found: str, aim: str, *, met: bool) -> Row:
    return (name, found, aim, "met" if met else "missed")


def shown(results: Sequence[Result], judgement: Sequence[Row]) -> Iterator[Table]:
    yield _rich("Scheduling", HEAD, rows(results), NUMBERS)
    yield _rich("Aims", AIMS_HEAD, judgement, len(AIMS_HEAD))


def spelled(results: Sequence[Result], judgement: Sequence[Row]) -> str:
    """The same as Markdown."""
    return "\n\n".join((markdown(AIMS_HEAD, judgement), markdown(HEAD, list(rows(results)))))


def _rich(title: str, head: Sequence[str], body: Iterable[Row], numbers: int) -> Table:
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for place, name in enumerate(head):
        table.add_column(name, justify="right" if place >= numbers else "left")
    for row in body:
        table.add_row(*row)
    return table
