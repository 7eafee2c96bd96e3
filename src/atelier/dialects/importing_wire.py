"""Drafts of workflows as our API reads and shows them."""

from typing import Any

from pydantic import BaseModel, Field

from atelier.dialects import asked
from atelier.dialects.workflows_wire import WorkflowShown


class Import(asked.Closed):
    """A workflow of the editor or a graph in API format, and what it is to be called.

    Without `manifest` one is proposed. `id`: made of the name where nothing is said; one that is there already
    gets a new revision. `shared`: everybody's, for admins alone.
    """

    workflow: dict[str, Any]
    id: str | None = Field(None, min_length=1, max_length=64)
    name: str | None = Field(None, min_length=1, max_length=100)
    manifest: dict[str, Any] | None = None
    shared: bool = False


class DraftChange(asked.Closed):
    """What is not said stays. `workflow` may be a file of the editor again."""

    manifest: dict[str, Any] | None = None
    workflow: dict[str, Any] | None = None


class Rollback(asked.Closed):
    """The revision that runs from now on."""

    revision: int = Field(ge=1, le=2**31 - 1)


class FaultShown(BaseModel):
    where: str
    what: str


class DraftShown(BaseModel):
    """A draft. `faults`: what servers would refuse, which hinders nobody from publishing it.

    `notes`: what became of the editor's file. `missing_nodes`: node classes that no server has.
    """

    workflow: WorkflowShown
    manifest: dict[str, Any]
    graph: dict[str, Any]
    notes: list[str]
    faults: list[FaultShown]
    missing_nodes: list[str]
