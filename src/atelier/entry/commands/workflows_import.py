"""`atelier workflows import`: whatever ComfyUI saved becomes a draft with a proposed manifest, or runs at once."""

import asyncio
import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from atelier.comfy import graph as graphs
from atelier.comfy.graph import Graph
from atelier.dialects.comfyui.shelf import Shelf
from atelier.entry import by_hand
from atelier.entry.commands import process, workflow_rows
from atelier.entry.commands.keys import account_named
from atelier.entry.commands.opening import opened
from atelier.entry.commands.options import Script, State
from atelier.entry.commands.printing import as_json, print_line
from atelier.entry.wake import wake
from atelier.fleet.view import FleetView
from atelier.kit.errors import Refusal
from atelier.workflows import checking, folders, service
from atelier.workflows import manifest as manifests
from atelier.workflows.converting import convert, finding
from atelier.workflows.model import Manifest, Workflow
from atelier.workflows.proposing.proposal import id_of, propose
from atelier.workflows.registry import TOPIC
from atelier.workflows.store.revisions import NewRevision

LARGEST = 200_000_000
"""Bytes of a picture or a film that a workflow is looked for in."""


@Parameter(name="*")
@dataclass(frozen=True)
class Named:
    """What the draft is called, where the file does not say."""

    workflow_id: Annotated[str | None, Parameter(name="--id", help="Its id; else made of its name.")] = None
    name: Annotated[str | None, Parameter(help="Its name; else the file's.")] = None


_BY_FILE = Named()


def import_workflow(
    file: Annotated[Path, Parameter(help="A graph, the editor's file, or a picture or film of it; or a folder.")],
    /,
    *,
    named: Named = _BY_FILE,
    account: Annotated[
        str | None, Parameter(help="Name of the account whose it shall be; everybody's if not said.")
    ] = None,
    publish: Annotated[bool, Parameter(help="Let it run at once, unless something is wrong with it.")] = False,
    script: Script = False,
    state: State = None,
) -> None:
    """Bring a workflow: it becomes a draft whose manifest is proposed from its nodes."""
    whole = _of_folder(file) if file.is_dir() else None

    async def bring() -> None:
        async with opened(state) as (_, database):
            fleet = await by_hand.fleet_of(database)
            new, notes = (whole, ()) if whole else await _brought(file, named, fleet)
            wrong = checking.faults(new.manifest, new.graph, tuple(fleet.inventories()))
            async with database.transaction() as tx:
                owner = await account_named(tx, account) if account is not None else None
                draft = await service.save_draft(tx, owner, new)
                now = await service.publish(tx, owner, draft.id) if publish and not wrong else draft
            await wake(database, TOPIC)
        faults = [workflow_rows.fault(one) for one in wrong]
        _tell(now, notes, faults, script=script)
        if publish and wrong:
            raise Refusal(f"{now.id} is a draft, and not published: mend what is said above")

    process.run(bring())


async def _brought(file: Path, named: Named, fleet: FleetView) -> tuple[NewRevision, tuple[str, ...]]:
    """What is in the file, and what a person may not expect of it. Raises Refusal."""
    found = finding.found(await asyncio.to_thread(_bytes, file))
    object_info = (await Shelf().catalogue(fleet)).classes
    if found.api:
        graph, notes = graphs.parse(found.document), tuple[str, ...]()
    else:
        converted = await asyncio.to_thread(convert.convert, found.document, object_info)
        graph, notes = converted.graph, converted.notes
    return NewRevision(_proposed(graph, object_info, named, file), graph), notes


def _of_folder(folder: Path) -> NewRevision:
    read = folders.read(folder.absolute())
    if read.new is None or read.faults:
        faults = "; ".join(map(str, read.faults))
        raise Refusal(f"{folder} is no workflow: {faults}")
    return read.new


def _proposed(graph: Graph, object_info: Any, named: Named, file: Path) -> Manifest:
    name = named.name or file.stem
    made = propose(graph, object_info, name=name, workflow_id=named.workflow_id or id_of(name) or "workflow")
    return manifests.parse(manifests.spelled(replace(made, id=named.workflow_id or made.id)))


def _bytes(file: Path) -> bytes:
    """Raises Refusal."""
    try:
        if file.stat().st_size > LARGEST:
            raise Refusal(f"{file} has more than {LARGEST // 1_000_000} MB")
        return file.read_bytes()
    except OSError as error:
        raise Refusal(f"{file} cannot be read: {error.strerror}") from error


def _tell(now: Workflow, notes: tuple[str, ...], faults: list[dict[str, str]], *, script: bool) -> None:
    if script:
        about = {
            "id": now.id,
            "revision": now.revision,
            "draft": now.draft,
            "notes": list(notes),
            "faults": faults,
        }
        as_json({**about, "manifest": json.loads(json.dumps(manifests.spelled(now.manifest)))})
        return
    parameters = ", ".join(one.name for one in now.manifest.parameters) or "none"
    print_line(
        f"{now.id}, revision {now.revision}, {'a draft' if now.draft else 'runs now'}; parameters: {parameters}"
    )
    for note in notes:
        print_line(f"  {note}")
    for wrong in faults:
        print_line(f"  {wrong['where']}: {wrong['what']}")
