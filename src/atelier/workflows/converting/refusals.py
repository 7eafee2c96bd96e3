"""A graph that cannot be converted is refused with every reason by name, so that a person can mend it."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, ClassVar

from atelier.kit.errors import Kind, Refusal

MOST_REASONS = 50


class Why(StrEnum):
    """The names of reasons, which never change."""

    NOT_A_WORKFLOW = "not_a_workflow"
    TOO_BIG = "too_big"
    UNKNOWN_NODE = "unknown_node"
    BROWSER_NODE = "browser_node"
    SCRIPTED_NODE = "scripted_node"
    OLD_GROUP_NODE = "old_group_node"
    BROKEN_LINK = "broken_link"
    CYCLE = "cycle"
    RECURSIVE_SUBGRAPH = "recursive_subgraph"
    NOTHING_TO_RUN = "nothing_to_run"
    NOT_RUNNABLE = "not_runnable"


@dataclass(frozen=True, slots=True)
class Reason:
    """`node` is the id it would have among the converted ones (`12:3` inside of a subgraph), "" for the whole."""

    why: Why
    message: str
    node: str = ""
    class_type: str = ""

    def as_json(self) -> dict[str, Any]:
        about = {"node": self.node, "class_type": self.class_type}
        return {
            "reason": str(self.why),
            "message": self.message,
            **{key: one for key, one in about.items() if one},
        }


class CannotConvert(Refusal):
    """It is not a workflow of the editor, or needs what no server has."""

    kind: ClassVar[Kind] = Kind.UNPROCESSABLE
    code: ClassVar[str] = "cannot_convert"

    def __init__(self, reasons: Sequence[Reason]) -> None:
        shown = reasons[:MOST_REASONS]
        rest = f" And {len(reasons) - 3} more." if len(reasons) > 3 else ""
        message = " ".join(one.message for one in reasons[:3]) + rest
        super().__init__(message, details={"reasons": [one.as_json() for one in shown]})
        self.reasons = tuple(reasons)


def cannot(why: Why, message: str, node: str = "", class_type: str = "") -> CannotConvert:
    """The refusal for one reason."""
    return CannotConvert([Reason(why, message, node, class_type)])
