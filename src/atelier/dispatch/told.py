"""What the socket told of a run from its beginning to its end is its result: then nobody need be asked for it.

Only a plain success counts: begun, shown and ended over one connection, nothing of what it shows taken from the
cache or shown in another node's place. Of everything else history alone is to be believed (behaviour 7, 15-18).
"""

from atelier.comfy.client import HistoryEntry, Success
from atelier.comfy.messages import (
    Executed,
    ExecutionCached,
    ExecutionError,
    ExecutionInterrupted,
    ExecutionStart,
    ExecutionSuccess,
    JsonObject,
    Message,
    Unknown,
)
from atelier.comfy.replies import parse_outputs

_TELLING = frozenset({"execution_start", "execution_cached", "executed", "execution_error"})


class Told:
    """One run, message by message."""

    def __init__(self) -> None:
        self._epoch: int | None = None
        self._cached: frozenset[str] = frozenset()
        self._shown: dict[str, JsonObject | None] = {}
        self._succeeded = False
        self._plain = True

    def hear(self, message: Message, epoch: int) -> None:
        """A message of this run, over the connection that is counted as `epoch`."""
        match message:
            case ExecutionStart():
                self._plain = self._plain and self._epoch is None
                self._epoch = epoch
            case ExecutionCached(nodes=nodes):
                self._cached = frozenset(nodes)
            case Executed():
                self._show(message)
            case ExecutionSuccess():
                self._succeeded = True
            case ExecutionError() | ExecutionInterrupted():
                self._plain = False
            case Unknown(type=kind) if kind in _TELLING:
                self._plain = False
            case _:
                pass
        self._plain = self._plain and epoch == self._epoch

    def result(self, prompt_id: str) -> HistoryEntry | None:
        """The run as history would show it, once its end was heard; None where history must be asked."""
        if not (self._plain and self._succeeded):
            return None
        return HistoryEntry(prompt_id, parse_outputs(self._shown), Success(), messages=(), raw={})

    def _show(self, shown: Executed) -> None:
        own = shown.display_node in {None, shown.node}
        new = shown.node not in self._cached and shown.node not in self._shown
        self._plain = self._plain and own and new
        self._shown[shown.node] = shown.output
