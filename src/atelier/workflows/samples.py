"""A workflow as a graph that could be run: every parameter at its default, files that stand for any."""

from dataclasses import replace

from atelier.comfy.graph import Graph
from atelier.fleet.inventory import Inventory
from atelier.fleet.model import Missing, Requirement
from atelier.fleet.requirements import missing as missing_of
from atelier.fleet.requirements import requirement_of
from atelier.workflows import values
from atelier.workflows.binding import bound
from atelier.workflows.model import Kind, Manifest, Parameter, Workflow

ANY_FILE = "00000000-0000-0000-0000-000000000000"


def sample(manifest: Manifest, graph: Graph, *, files: bool = True) -> Graph:
    """With every file, or with those alone that it cannot do without. Raises InvalidManifest."""
    given = {
        one.name: [ANY_FILE] if one.kind is Kind.IMAGES else ANY_FILE
        for one in manifest.parameters
        if one.kind.takes_files and (files or one.required)
    }
    asked = replace(manifest, parameters=tuple(map(_unasked, manifest.parameters)))
    return bound(asked, graph, values.read(asked, given))


def requirement(workflow: Workflow, inventories: tuple[Inventory, ...] = ()) -> Requirement:
    """What a server must have to run it as it is by default."""
    return requirement_of(sample(workflow.manifest, workflow.graph), inventories)


def missing(workflow: Workflow, inventory: Inventory) -> Missing:
    """What this inventory lacks to run it as it is by default."""
    return missing_of(inventory, requirement(workflow, (inventory,)))


def _unasked(one: Parameter) -> Parameter:
    """A sample says nothing that is not a file, and as few files as there are."""
    return (
        one if one.kind.takes_files and one.kind is not Kind.IMAGES else replace(one, required=False, minimum=None)
    )
