"""A graph that must not reach a server is refused in ComfyUI's own error shapes (wire contract 4)."""

from collections.abc import Mapping
from typing import Any, ClassVar

from atelier.kit.errors import Kind, Refusal


class InvalidWorkflow(Refusal):
    """`details` is `{"error": {type, message, details, extra_info}, "node_errors": {…}}`, as ComfyUI's 400."""

    kind: ClassVar[Kind] = Kind.UNPROCESSABLE
    code: ClassVar[str] = "invalid_workflow"

    def __init__(self, error: Mapping[str, Any], node_errors: Mapping[str, Any] | None = None) -> None:
        message = f"{error['message']} {error['details']}".strip()
        super().__init__(message, details={"error": dict(error), "node_errors": dict(node_errors or {})})


class WorkflowFormatUi(Refusal):
    """The editor's own file: nodes and links as lists, positions, groups. Servers take the API format only."""

    kind: ClassVar[Kind] = Kind.UNPROCESSABLE
    code: ClassVar[str] = "workflow_format_ui"

    def __init__(self) -> None:
        message = (
            "This is a workflow in the editor's format."
            " Export it with 'Export (API)' and send that: an object of nodes with class_type and inputs."
        )
        error = top_error("workflow_format_ui", message)
        super().__init__(message, details={"error": error, "node_errors": {}})


def top_error(kind: str, message: str, details: str = "", **extra_info: object) -> dict[str, Any]:
    """ComfyUI's error object: what stands under `error`, and in the lists of `node_errors`."""
    return {"type": kind, "message": message, "details": details, "extra_info": extra_info}


def too_big(details: str) -> InvalidWorkflow:
    """More of something than a server can take."""
    return InvalidWorkflow(top_error("invalid_prompt", "The workflow is too big:", details))


def broken_node(node_id: str, message: str, kind: str = "invalid_prompt") -> InvalidWorkflow:
    """One node is no node: ComfyUI says so at the top, with `Node ID '#id'`."""
    return InvalidWorkflow(top_error(kind, message, f"Node ID '#{node_id[:200]}'", node_id=node_id[:200]))


def broken_input(node_id: str, class_type: str, error: Mapping[str, Any]) -> InvalidWorkflow:
    """One input of one node: ComfyUI says so under `node_errors`."""
    top = top_error("prompt_outputs_failed_validation", "Prompt outputs failed validation", error["details"])
    entry = {"errors": [dict(error)], "dependent_outputs": [], "class_type": class_type}
    return InvalidWorkflow(top, {node_id: entry})
