"""Workflows at the command line: what there is and where it runs, whether a folder is right, what runs now."""

import contextlib
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from cyclopts import App, Parameter

from atelier.entry import by_hand
from atelier.entry.commands import process, workflow_rows
from atelier.entry.commands.keys import account_named
from atelier.entry.commands.opening import opened
from atelier.entry.commands.options import Script, State
from atelier.entry.commands.printing import as_json, print_line, rows
from atelier.entry.commands.workflows_import import import_workflow
from atelier.entry.commands.workflows_run import run
from atelier.entry.wake import wake
from atelier.fleet.inventory import Inventory
from atelier.kit.database import Database
from atelier.kit.errors import Refusal
from atelier.kit.ids import AccountId
from atelier.kit.wakeups import Wakeups
from atelier.workflows import folders, service
from atelier.workflows.checking import faults
from atelier.workflows.folders import Read
from atelier.workflows.model import Fault, Origin, Workflow
from atelier.workflows.readiness import Fit, Look, Readiness
from atelier.workflows.registry import TOPIC, Registry
from atelier.workflows.store import revisions

workflows = App(name="workflows")
workflows.command(run)
workflows.command(import_workflow, name="import")

WorkflowName = Annotated[str, Parameter(help="The workflow's id, as `workflows list` shows it.")]
Owner = Annotated[
    str | None,
    Parameter(name="--account", help="Name of the account whose it is; everybody's if not said."),
]
Version = Annotated[
    str | None, Parameter(help="A revision's number, or what its author calls it; the one that runs if not said.")
]


@dataclass(frozen=True, slots=True)
class Shelf:
    """All that the commands look at, as it is at this moment. `owner` None: everybody's."""

    database: Database
    registry: Registry
    look: Look
    owner: AccountId | None


@workflows.command(name="list")
def list_workflows(
    *,
    account: Owner = None,
    category: Annotated[str | None, Parameter(help="Only this category, like text-to-image.")] = None,
    family: Annotated[str | None, Parameter(help="Only this family of models, like sdxl.")] = None,
    script: Script = False,
    state: State = None,
) -> None:
    """List the workflows: which run on how many servers, and what the others lack."""

    async def show() -> None:
        async with _shelf(state, account) as shelf:
            found = [
                one
                for one in shelf.registry.listing(shelf.owner)
                if category in {None, one.manifest.category} and family in {None, one.manifest.family}
            ]
            spell = workflow_rows.row if script else workflow_rows.line
            shown = [spell(one, shelf.look.fits(one)) for one in found]
        rows(shown, script=script, nothing="There is no such workflow; those of folders come with `atelier up`.")

    process.run(show())


@workflows.command
def show(
    workflow: WorkflowName,
    /,
    *,
    version: Version = None,
    account: Owner = None,
    script: Script = False,
    state: State = None,
) -> None:
    """Show one workflow: its parameters, and which servers can run it."""

    async def tell() -> None:
        async with _shelf(state, account) as shelf:
            found = await shelf.registry.find(shelf.owner, workflow, version)
            fits = shelf.look.fits(found)
        if script:
            as_json(workflow_rows.whole(found, fits))
        else:
            workflow_rows.tell(found, fits)

    process.run(tell())


@workflows.command
def versions(
    workflow: WorkflowName, /, *, account: Owner = None, script: Script = False, state: State = None
) -> None:
    """List a workflow's revisions, newest first; which of them runs."""

    async def show() -> None:
        async with _shelf(state, account) as shelf:
            found = await shelf.registry.versions(shelf.owner, workflow)
            current = shelf.registry.current(shelf.owner, workflow)
        shown = [_revision(one, current) for one in found]
        rows(shown, script=script, nothing="")

    process.run(show())


@workflows.command
def check(
    folder: Annotated[tuple[Path, ...], Parameter(help="Folders of workflows, or a folder that has some.")],
    /,
    *,
    offline: Annotated[
        bool, Parameter(help="Look at the folders alone, not at what this installation's servers have.")
    ] = False,
    script: Script = False,
    state: State = None,
) -> None:
    """Say what is wrong in a workflow's folder, and where; exit code 1 where something is."""

    async def look() -> None:
        found = [folders.read(each) for each in _each(folder)]
        if offline:
            told = [_checked(one, (), None) for one in found]
        else:
            async with _shelf(state, None) as shelf:
                known = tuple((await by_hand.fleet_of(shelf.database)).inventories())
                told = [_checked(one, known, shelf.look) for one in found]
        as_json(told) if script else _say(told)
        if wrong := [one["folder"] for one in told if one["faults"]]:
            raise Refusal(f"not all is well: {', '.join(wrong)}")

    process.run(look())


@workflows.command
def publish(workflow: WorkflowName, /, *, account: Owner = None, state: State = None) -> None:
    """Let a workflow's draft run from now on; its earlier revisions stay runnable by their numbers."""

    async def change() -> None:
        async with _shelf(state, account) as shelf:
            async with shelf.database.transaction() as tx:
                now = await service.publish(tx, shelf.owner, workflow)
            await wake(shelf.database, TOPIC)
        print_line(f"{now.id} runs as version {now.manifest.version}, revision {now.revision}")

    process.run(change())


@workflows.command
def rollback(
    workflow: WorkflowName,
    revision: Annotated[int, Parameter(help="The revision's number, as `workflows versions` shows it.")],
    /,
    *,
    account: Owner = None,
    state: State = None,
) -> None:
    """Let another revision of a workflow run from now on."""

    async def change() -> None:
        async with _shelf(state, account) as shelf:
            async with shelf.database.transaction() as tx:
                now = await service.rollback(tx, shelf.owner, workflow, revision)
            await wake(shelf.database, TOPIC)
        print_line(f"{now.id} runs as version {now.manifest.version}, revision {now.revision}")

    process.run(change())


@workflows.command
def withdraw(workflow: WorkflowName, /, *, account: Owner = None, state: State = None) -> None:
    """Take a workflow out of the registry; jobs that were made of it stay readable."""

    async def change() -> None:
        async with _shelf(state, account) as shelf:
            async with shelf.database.transaction() as tx:
                await service.withdraw(tx, shelf.owner, workflow)
            await wake(shelf.database, TOPIC)
        print_line(f"{workflow} is withdrawn")

    process.run(change())


@contextlib.asynccontextmanager
async def _shelf(state: Path | None, account: str | None) -> AsyncGenerator[Shelf]:
    """The registry and the fleet as they are now. Raises NotFound for an account that is not there."""
    async with opened(state) as (_, database):
        registry = Registry(database, Wakeups(database))
        await registry.refresh()
        fleet = await by_hand.fleet_of(database)
        async with database.transaction() as tx:
            owner = await account_named(tx, account) if account is not None else None
        yield Shelf(database, registry, Readiness().look(fleet), owner)


def _each(said: Sequence[Path]) -> list[Path]:
    """A folder without a manifest and a graph stands for those in it. Raises Refusal for what is no folder."""
    found: list[Path] = []
    for folder in said:
        if not folder.is_dir():
            raise Refusal(f"{folder} is no folder")
        inside = sorted(one.parent for one in folder.glob(f"*/{folders.MANIFEST}"))
        is_one = any((folder / name).exists() for name in (folders.MANIFEST, folders.GRAPH))
        found += [folder.absolute()] if is_one or not inside else inside
    return found


def _checked(found: Read, known: Sequence[Inventory], look: Look | None) -> dict[str, Any]:
    wrong: list[Fault] = list(found.faults)
    fits: list[Fit] = []
    if found.new is not None and not wrong:
        wrong = faults(found.new.manifest, found.new.graph, known)
        manifest = found.new.manifest
        workflow = Workflow(0, 0, Origin.FOLDER, None, manifest, found.new.graph, found.new.digest)
        fits = look.fits(workflow) if look and not wrong else []
    return {
        "folder": found.name,
        "faults": [workflow_rows.fault(one) for one in wrong],
        "servers": [fit.server.id for fit in fits if fit.able],
        "missing": workflow_rows.missing(found.new.manifest, fits) if found.new else {},
        "says": _verdict(found, wrong, fits),
    }


def _verdict(found: Read, wrong: Sequence[Fault], fits: Sequence[Fit]) -> str:
    if wrong:
        return "1 fault" if len(wrong) == 1 else f"{len(wrong)} faults"
    if found.new is None or not fits:
        return "well, by itself: no server was asked"
    able = sum(fit.able for fit in fits)
    lacks = workflow_rows.lacking(found.new.manifest, fits)
    return f"well; {able} of {len(fits)} servers can run it" + (f" (missing: {lacks})" if lacks else "")


def _say(told: Sequence[dict[str, Any]]) -> None:
    for one in told:
        print_line(f"{one['folder']}: {one['says']}")
        for wrong in one["faults"]:
            print_line(f"  {wrong['where']}: {wrong['what']}")


def _revision(one: revisions.Version, current: Workflow | None) -> dict[str, Any]:
    runs = current is not None and (current.key, current.revision) == (one.key, one.revision)
    return {
        "revision": one.revision,
        "version": one.version,
        "runs": runs or None,
        "draft": one.draft or None,
        "created": one.created_at,
        "digest": one.digest.hex()[:16],
    }
