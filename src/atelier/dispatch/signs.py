"""A queue that has stopped for good is known by its signs; a long silent node shows none of them.

HTTP, WebSocket and /system_stats of such a server stay healthy (behaviour 2-4), so only what a prompt sees of its
server tells: it counts as running and the socket never says that it began, or it waits while nothing runs.
"""

from dataclasses import dataclass

from atelier.dispatch.ends import Sight

LOOKS = 3
"""How often a prompt must be seen waiting for nothing: between two prompts a server may look so once."""


@dataclass(frozen=True, slots=True)
class Look:
    """One look at /queue, at `now` (monotonic seconds). `epoch` counts the socket's connections.

    `socket_works`: it is open, and has said something since the prompt was submitted; else its silence means
    nothing (behaviour 5: one socket that nobody reads silences all others of its server).
    """

    sight: Sight
    anything_runs: bool
    epoch: int
    now: float
    socket_works: bool
    stranger: str = ""
    """What runs, if it is a prompt that somebody else sent to the server."""


@dataclass(slots=True)
class Signs:
    """Of one prompt. `silent_for` and `waits_for`: how many seconds each sign must last."""

    silent_for: float
    waits_for: float
    epoch: int
    """That of the socket when the prompt was submitted; a later one may have missed how it began."""
    heard: bool = False
    _silent_since: float | None = None
    _waits_since: float | None = None
    _looks: int = 0
    _stranger: tuple[str, float] = ("", 0.0)

    @property
    def suspicious(self) -> bool:
        """Worth looking again soon."""
        return self._silent_since is not None or self._waits_since is not None

    def judge(self, look: Look) -> str:
        """The sign in words, empty when there is none (yet)."""
        return self._silent(look) or self._waiting(look)

    def _silent(self, look: Look) -> str:
        means_something = look.socket_works and look.epoch == self.epoch
        if look.sight is not Sight.RUNNING or self.heard or not means_something:
            self._silent_since = None
            return ""
        self._silent_since = look.now if self._silent_since is None else self._silent_since
        if look.now - self._silent_since < self.silent_for:
            return ""
        return f"a prompt counts as running, and for {self.silent_for:g} s nothing was heard of it"

    def _waiting(self, look: Look) -> str:
        if look.sight is not Sight.PENDING or look.anything_runs:
            self._waits_since, self._looks = None, 0
            return ""
        self._looks += 1
        self._waits_since = look.now if self._waits_since is None else self._waits_since
        if self._looks < LOOKS or look.now - self._waits_since < self.waits_for:
            return ""
        return f"prompts wait, and for {self.waits_for:g} s nothing runs"

    def blocked(self, look: Look, patience: float) -> str:
        """A stranger's prompt stands before this one and does not end; in words, empty when it is not so (yet).

        It has no limit that we know, and perhaps it is what stopped the queue: extra_data null does that.
        """
        if look.sight is not Sight.PENDING or not look.stranger:
            self._stranger = ("", 0.0)
        elif look.stranger != self._stranger[0]:
            self._stranger = (look.stranger, look.now)
        elif look.now - self._stranger[1] >= patience:
            return f"a prompt that is not ours runs there for {patience:g} s"
        return ""
