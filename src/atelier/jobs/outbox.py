"""What waits to be written for other processes is bounded: what may be lost goes first, then what is oldest."""

import enum
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from atelier.kit.ids import AccountId, JobId

MAX_FRAMES = 10_000
MAX_BYTES = 32 * 1024 * 1024
PREVIEW_SECONDS = 0.2
"""Another preview of one job is written no sooner."""

MAX_JOBS = 1_000
"""Jobs whose last preview is remembered."""


class FrameKind(enum.IntEnum):
    """STATE must arrive; of PROGRESS and PREVIEW only the newest matters."""

    STATE = 0
    PROGRESS = 1
    PREVIEW = 2


@dataclass(frozen=True, slots=True)
class Frame:
    """One message of a running job, as its client shall get it: a text begins with `{"type":`.

    Binary ones are in the server's own layout. `client_id` is the client that asked for the job, None: nobody in
    particular. A PROGRESS frame replaces an unsent one of its job with the same `key`.
    """

    account_id: AccountId
    job_id: JobId
    client_id: str | None
    kind: FrameKind
    body: str | bytes
    key: str = ""


class Outbox:
    """Frames in order. `now` gives seconds that only grow."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._frames: list[Frame | None] = []
        self._bytes = 0
        self._newest: dict[tuple[JobId, str], int] = {}
        self._previewed: dict[JobId, float] = {}
        self.dropped = 0
        """Frames that were lost for want of room."""

    def __len__(self) -> int:
        return len(self._frames)

    def put(self, frame: Frame) -> None:
        match frame.kind:
            case FrameKind.PREVIEW if not self._preview_is_due(frame.job_id):
                return
            case FrameKind.PROGRESS:
                self._replace(frame)
            case _:
                pass
        self._append(frame)
        if self._overfull():
            self._make_room()

    def take(self) -> list[Frame]:
        """Everything, in order; from here on it is the taker's."""
        taken = [frame for frame in self._frames if frame is not None]
        self._reset()
        return taken

    def _append(self, frame: Frame) -> None:
        self._frames.append(frame)
        self._bytes += len(frame.body)

    def _replace(self, frame: Frame) -> None:
        """The place of the one before stays empty, so that the others keep theirs."""
        place = self._newest.get((frame.job_id, frame.key))
        if place is not None:
            before = self._frames[place]
            self._bytes -= len(before.body) if before is not None else 0
            self._frames[place] = None
        self._newest[frame.job_id, frame.key] = len(self._frames)

    def _preview_is_due(self, job_id: JobId) -> bool:
        now = self._now()
        if now - self._previewed.get(job_id, float("-inf")) < PREVIEW_SECONDS:
            return False
        self._previewed.pop(job_id, None)
        if len(self._previewed) >= MAX_JOBS:
            del self._previewed[next(iter(self._previewed))]
        self._previewed[job_id] = now
        return True

    def _overfull(self) -> bool:
        return len(self._frames) > MAX_FRAMES or self._bytes > MAX_BYTES

    def _make_room(self) -> None:
        """Down to half, so that it is not asked for again at once."""
        before = self.take()
        kept = deque(frame for frame in before if frame.kind is FrameKind.STATE)
        size = sum(len(frame.body) for frame in kept)
        while kept and (len(kept) > MAX_FRAMES // 2 or size > MAX_BYTES // 2):
            size -= len(kept.popleft().body)
        self.dropped += len(before) - len(kept)
        for frame in kept:
            self._append(frame)

    def _reset(self) -> None:
        self._frames.clear()
        self._newest.clear()
        self._bytes = 0
