"""A node is called with its inputs as values and with what the server offers it; it returns what it made."""

import errno
import os
import random
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, TypeAlias, TypeVar, cast

from atelier.kit import clock
from atelier.simulator.config import SimulatorConfig
from atelier.simulator.faults import Faults
from atelier.simulator.folders import Folders
from atelier.simulator.memory import ModelMemory
from atelier.simulator.pictures import Picture

_TICK = 0.05

Pictures: TypeAlias = tuple[Picture, ...]
T = TypeVar("T")


class Interrupted(Exception):  # noqa: N818 - it is an order, not an error
    """Somebody asked for the running prompt to stop."""


class NodeFailed(Exception):  # noqa: N818 - it becomes an execution_error
    """A failure that a real server would report under another type name, such as torch.OutOfMemoryError."""

    def __init__(self, exception_type: str, message: str) -> None:
        super().__init__(message)
        self.exception_type = exception_type


@dataclass(frozen=True, slots=True)
class Blocked:
    """A value that stops everything downstream; with words it is reported as an error (ExecutionBlocker)."""

    message: str | None


class Watcher(Protocol):
    """Where a node's progress goes. `value` of `maximum` is done; `preview` is an encoded image."""

    def __call__(
        self, value: float, maximum: float, preview: bytes | None = None, mime: str = "image/jpeg"
    ) -> None: ...


@dataclass(slots=True)
class Workshop:
    """What all nodes of one server share."""

    config: SimulatorConfig
    folders: Folders
    memory: ModelMemory
    faults: Faults
    interrupt: threading.Event = field(default_factory=threading.Event)
    drawn: Callable[[str, str], None] = lambda _prompt_id, _what: None
    temp_prefixes: dict[str, str] = field(default_factory=dict[str, str])

    def sleep(self, seconds: float) -> None:
        """Work for so long; raises Interrupted as soon as somebody asks."""
        slow = self.faults.use("slow") if self.faults.is_on("slow") else None
        if slow is not None:
            seconds = seconds * slow.factor + slow.delay
        seconds = self._deaf(seconds)
        if self.faults.is_on("stuck"):
            return
        if self.interrupt.wait(seconds) if seconds > 0 else self.interrupt.is_set():
            raise Interrupted

    def _deaf(self, seconds: float) -> float:
        """Work on and hear nobody, while that fault is on; the seconds that are left then."""
        ends = clock.monotonic() + seconds
        while self.faults.is_on("stuck") and clock.monotonic() < ends:
            time.sleep(min(_TICK, max(ends - clock.monotonic(), 0.0)))
        return max(ends - clock.monotonic(), 0.0)

    def write(self, path: Path) -> None:
        """Called before each file that is written; raises OSError when the disk is full."""
        if self.faults.use("disk_full") is not None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

    def temp_prefix(self, node_id: str) -> str:
        """The random part of a preview's name, made once for each node id (recorded: `_temp_`, five letters)."""
        letters = "abcdefghijklmnopqrstupvxyz"
        made = "_temp_" + "".join(random.choices(letters, k=5))  # noqa: S311 - a name, not a secret
        return self.temp_prefixes.setdefault(node_id, made)


@dataclass(slots=True)
class Call:
    """One execution of one node."""

    shop: Workshop
    prompt_id: str
    node_id: str
    inputs: Mapping[str, Any]
    graph: Mapping[str, Any]
    extra_pnginfo: Mapping[str, Any]
    watch: Watcher
    say: Callable[[str], None]
    """Progress in words (a type 3 frame)."""
    send: Callable[[str, Mapping[str, Any]], None]
    """An event of the node's own."""

    def get(self, name: str, kind: type[T]) -> T:
        """The input as what it must be. A wrong value (a text where an image is due) fails the node."""
        value = self.inputs[name]
        if not isinstance(value, kind):
            msg = f"{type(value).__name__!r} object cannot be used as {kind.__name__}"
            raise TypeError(msg)
        return value

    def int(self, name: str) -> "int":
        return self.get(name, int)

    def float(self, name: str) -> "float":
        return self.get(name, float)

    def text(self, name: str) -> str:
        return self.get(name, str)

    def pictures(self, name: str) -> Pictures:
        """A batch of images or masks."""
        return cast("Pictures", self.get(name, tuple))


@dataclass(frozen=True, slots=True)
class Made:
    """The outputs of a node in order, and what it shows in history and `executed`."""

    outputs: tuple[Any, ...] = ()
    ui: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Later:
    """A node that waits for something else meanwhile (`async` in ComfyUI): others run first, then `finish`."""

    finish: Callable[[], Made]


Node: TypeAlias = Callable[[Call], Made | Later]
