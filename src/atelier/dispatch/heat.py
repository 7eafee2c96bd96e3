"""What is loaded on one server, since when it must stay so, and what everybody may know of it.

The models of a job are loaded when the server begins it; what waits there will have loaded its own by then.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from atelier.fleet.warmth import Warmth, files_of, sizes_of


@dataclass(frozen=True, slots=True)
class Told:
    """`stay_until` on the monotonic clock, 0: it may go over to other models at any time."""

    warm: tuple[str, ...] = ()
    stay_until: float = 0.0


class Heat:
    """Times in seconds of one monotonic clock, sizes in bytes."""

    def __init__(self, warm: Iterable[str] = ()) -> None:
        self._vram = 0
        self._sizes: Mapping[str, int] = {}
        self._warmth = Warmth(0)
        self._perhaps: frozenset[str] = frozenset()
        self._stay_until = 0.0
        self._restore(warm)

    @property
    def vram(self) -> int:
        """0 where the server did not say."""
        return self._vram

    def learn(self, vram: int, sizes: Mapping[str, int]) -> None:
        """The server told how much memory it has and how large its files are."""
        if vram == self._vram and sizes is self._sizes:
            return
        warm = sorted(self._warmth.lanes())
        self._vram, self._sizes = vram, sizes
        self._warmth = Warmth(vram, sizes)
        self._restore(warm)

    def _restore(self, warm: Iterable[str]) -> None:
        for lane in warm:
            self._warmth.ran(lane)

    def begins(self, lane: str, graph: Mapping[str, Any]) -> bool | None:
        """The server begins a job. True when its models have to be loaded first; None when nobody knows."""
        cold = not self._warmth.has(lane)
        self._warmth.ran(lane, sizes_of(graph))
        return None if cold and files_of(lane) <= self._perhaps else cold

    def has(self, lane: str) -> bool:
        """Whether a job of this lane would begin without loading."""
        return self._warmth.has(lane)

    def lanes(self, coming: Iterable[str] = ()) -> frozenset[str]:
        """The lanes that are warm, counting those of jobs that are there and not begun."""
        return self._warmth.lanes() | {lane for lane in coming if lane}

    def forget(self) -> None:
        """Nothing is loaded any more: it was freed, the server restarted, or ran out of memory."""
        self._perhaps = frozenset()
        self._warmth.forget()
        self._stay_until = 0.0

    def doubt(self) -> None:
        """It was away: perhaps another process came back."""
        perhaps = frozenset[str]().union(*map(files_of, self._warmth.lanes()))
        self.forget()
        self._perhaps = perhaps

    def stay(self, until: float) -> None:
        """It was made to go over to other models: it keeps these until then, if jobs for them wait."""
        self._stay_until = until

    def stays(self, now: float) -> float:
        """For how many seconds more."""
        return max(self._stay_until - now, 0.0)

    def told(self, now: float) -> Told:
        return Told(tuple(sorted(self._warmth.lanes())), self._stay_until if self._stay_until > now else 0.0)
