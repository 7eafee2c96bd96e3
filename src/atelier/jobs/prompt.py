"""What a client of the native API said of its prompt, and what it is told of the run; values only."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Prompt:
    """What a client of the native API said beside its graph.

    `client_id` is where messages about the run go; None: to nobody in particular. `extra_data` is without secrets.
    `outputs` are the nodes that it is run for, empty: all that there are. `shown` has the inputs as the client
    wrote them, by node and name, where the stored graph names an asset instead.
    """

    client_id: str | None = None
    extra_data: Mapping[str, Any] = field(default_factory=dict[str, Any])
    outputs: tuple[str, ...] = ()
    shown: Mapping[str, Mapping[str, Any]] = field(default_factory=dict[str, Mapping[str, Any]])


@dataclass(frozen=True, slots=True)
class Told:
    """What a dispatcher must know to tell a native client of the run in its own words.

    `prompt_id` is the client's id of the job, `position` makes the names of its files unique; `began`: another
    attempt of the job had begun before, so its client knows of a start.
    """

    prompt_id: str
    position: int
    prompt: Prompt
    began: bool = False


@dataclass(frozen=True, slots=True)
class Report:
    """What the server told of a run, in the client's ids and names, as /history shows it (wire contract 5).

    `outputs`: node to what it showed. `messages`: (event, data) in order. `meta`: node to where it is displayed.
    """

    outputs: Mapping[str, Any] = field(default_factory=dict[str, Any])
    messages: tuple[tuple[str, Mapping[str, Any]], ...] = ()
    meta: Mapping[str, Any] = field(default_factory=dict[str, Any])

    @property
    def interrupted(self) -> bool:
        """Whether somebody stopped it."""
        return any(event == "execution_interrupted" for event, _ in self.messages)
