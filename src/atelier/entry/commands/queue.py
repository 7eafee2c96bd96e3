"""The queue at the command line: what waits and runs, for what and for whom; what ended long ago, deleted."""

import sys
from collections.abc import Sequence
from typing import Annotated, Any

from cyclopts import App, Parameter

from atelier.accounts import service as accounts
from atelier.entry import by_hand
from atelier.entry.commands import process
from atelier.entry.commands.opening import opened, seconds
from atelier.entry.commands.options import A_COUNT, Script, State
from atelier.entry.commands.printing import as_json, facts, print_line, rows, span
from atelier.entry.settings import Settings
from atelier.fleet import needs
from atelier.fleet.store import catalogs
from atelier.fleet.view import FleetView
from atelier.jobs import dead_letters
from atelier.jobs import queue as figures
from atelier.jobs.model import TERMINAL, JobState
from atelier.jobs.queue import Tally
from atelier.jobs.store import stats, sweep
from atelier.kit import clock
from atelier.kit.database import Database
from atelier.kit.errors import Refusal

queue = App(name="queue")

Tables = dict[str, list[dict[str, Any]]]


@queue.default
def show(
    *,
    limit: Annotated[
        int, Parameter(help="Rows of each table, those with most jobs first.", validator=A_COUNT)
    ] = 20,
    script: Script = False,
    state: State = None,
) -> None:
    """Show what waits and what runs: per class, account, models and need; and the limits that are set."""

    async def tell() -> None:
        async with opened(state) as (settings, found):
            tables, letters = await _tables(found, await by_hand.fleet_of(found), limit)
        if script:
            as_json({**tables, "dead_letters": letters, "limits": _limits(settings)})
            return
        _print(tables)
        if letters:
            print_line(f"{letters} dead letters: atelier dead-letters list\n")
        facts({name: value or "no limit" for name, value in _limits(settings).items()})

    process.run(tell())


@queue.command
def clean(
    *,
    older_than: Annotated[str, Parameter(help="Since when they must have ended at least: 12h, 7d.")],
    ended: Annotated[
        tuple[str, ...],
        Parameter(name="--ended", help="Only jobs that ended so: succeeded, failed…; may be repeated."),
    ] = (),
    script: Script = False,
    state: State = None,
) -> None:
    """Delete jobs that ended long ago, with their outputs; open dead letters stay."""
    age, states = seconds(older_than), _states(ended)

    async def delete() -> None:
        async with opened(state) as (_, found):
            deleted = await _clean(found, age, states)
        as_json({"deleted": deleted}) if script else print_line(
            f"deleted {deleted} job{'' if deleted == 1 else 's'}"
        )

    process.run(delete())


def _print(tables: Tables) -> None:
    [total] = tables["all"]
    if not any(total[name] for name in ("waiting", "placed", "running", "canceling")):
        print_line("Nothing waits and nothing runs.\n")
        return
    for name, table in tables.items():
        print_line(name.upper())
        rows([_line(each) for each in table], script=False, nothing="")
        print_line("")


async def _tables(opened: Database, fleet: FleetView, limit: int) -> tuple[Tables, int]:
    """Every table by its name, and how many dead letters are open."""
    async with opened.transaction() as tx:
        groups = await stats.groups(tx)
        sets = figures.tallies(groups, lambda group: group.requirement_id)[:limit]
        parties = figures.tallies(groups, lambda group: group.account_id)[:limit]
        known = await catalogs.requirements(tx, [each for each, _ in sets])
        named = await accounts.accounts_by_id(tx, [each for each, _ in parties])
        letters = (await dead_letters.page(tx, None, limit=1)).total
    classes = sorted(figures.tallies(groups, lambda group: group.priority), reverse=True)
    lanes = figures.tallies(groups, lambda group: group.lane)[:limit]
    inventories = list(fleet.inventories())
    able = {each: needs.who_can(wanted, fleet.servers, inventories) for each, wanted in known.items()}
    return {
        "all": [_tally(figures.tally(groups))],
        "classes": [{"priority": each, **_tally(tally)} for each, tally in classes],
        "accounts": [{"account": named[each].name, **_tally(tally)} for each, tally in parties if each in named],
        "models": [{"models": lane.replace("|", " + ") or "(none)", **_tally(tally)} for lane, tally in lanes],
        "needs": [
            {
                "needs": needs.words(known[each]),
                "servers_able": len(able[each].able),
                "ready": len(able[each].ready),
                **_tally(tally),
            }
            for each, tally in sets
            if each in known
        ],
    }, letters


async def _clean(opened: Database, age: float, states: Sequence[JobState]) -> int:
    """Step by step, so that nobody waits for it; how far it is, is told to whoever sits at the terminal."""
    deleted, mark = 0, None
    while True:
        async with opened.transaction() as tx:
            step = await sweep.clean(tx, older_than=age, states=states, mark=mark)
        deleted, mark = deleted + step.deleted, step.mark
        if mark is None:
            return deleted
        if sys.stderr.isatty():
            sys.stderr.write(f"\rdeleted {deleted} jobs, at those kept until {mark.keep_until:%Y-%m-%d %H:%M} ")


def _states(ended: Sequence[str]) -> Sequence[JobState]:
    known = {str(state): state for state in TERMINAL}
    if unknown := [each for each in ended if each not in known]:
        raise Refusal(f"no job ends {unknown[0]!r}: write {', '.join(sorted(known))}")
    return [known[each] for each in ended] or list(TERMINAL)


def _tally(tally: Tally) -> dict[str, Any]:
    return {
        "waiting": tally.waiting,
        "retried_later": tally.delayed,
        "placed": tally.placed,
        "running": tally.running,
        "canceling": tally.canceling,
        "oldest_seconds": tally.oldest_age(clock.utcnow()),
    }


def _line(row: dict[str, Any]) -> dict[str, Any]:
    """Nought is told of what always matters only; ages as people say them."""
    shown = {name: value for name, value in row.items() if name != "oldest_seconds"}
    for name in ("retried_later", "placed", "canceling"):
        shown[name] = shown[name] or None
    return shown | {"oldest_waits": span(row["oldest_seconds"])}


def _limits(settings: Settings) -> dict[str, int]:
    return {
        "waiting_at_most": settings.max_queued,
        "waiting_per_account": settings.max_queued_per_account,
        "running_at_most": settings.max_running,
        "running_per_account": settings.max_running_per_account,
        "server_jobs_per_minute": settings.server_jobs_per_minute,
    }
