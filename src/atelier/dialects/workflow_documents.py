"""Everybody's workflows stand in the OpenAPI document: their parameters as schemas, their examples as bodies.

Imported ones do not: the document is for whoever asks, without a key.
"""

import copy
from collections.abc import Sequence
from typing import Any

from atelier.workflows import schema
from atelier.workflows.model import Workflow

GENERATE = "/api/v1/generate"
MOST = 500
"""Workflows in one document, by id."""


class WorkflowDocuments:
    """The document as it is with the workflows of this moment; made anew when they change."""

    def __init__(self) -> None:
        self._of: tuple[bytes, ...] | None = None
        self._made: dict[str, Any] = {}

    def document(self, plain: dict[str, Any], workflows: Sequence[Workflow]) -> dict[str, Any]:
        """`plain` with these (shared) workflows."""
        shown = workflows[:MOST]
        now = tuple(workflow.digest for workflow in shown)
        if now != self._of:
            self._made, self._of = _with(plain, shown), now
        return self._made


def name_of(workflow: Workflow) -> str:
    """The name of its parameters among the document's schemas."""
    return f"workflow.{workflow.id}"


def _with(plain: dict[str, Any], workflows: Sequence[Workflow]) -> dict[str, Any]:
    made = copy.deepcopy(plain)
    schemas: dict[str, Any] = made["components"]["schemas"]
    schemas |= {name_of(workflow): _parameters(workflow) for workflow in workflows}
    body = made["paths"].get(GENERATE, {}).get("post", {}).get("requestBody", {})
    content = body.get("content", {}).get("application/json")
    if content is not None and workflows:
        content["examples"] = {workflow.id: _example(workflow) for workflow in workflows}
    return made


def _parameters(workflow: Workflow) -> dict[str, Any]:
    whole = schema.of(workflow.manifest)
    words = f"`params` of workflow {workflow.id}, version {workflow.manifest.version}."
    return {key: value for key, value in whole.items() if key != "$schema"} | {"description": words}


def _example(workflow: Workflow) -> dict[str, Any]:
    return {"summary": workflow.manifest.name.en, "value": schema.payload(workflow.manifest)}
