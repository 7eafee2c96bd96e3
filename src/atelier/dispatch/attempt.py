"""One attempt: placed, submitted, watched to its end, collected, ended; every step may be asked twice.

The order of asking is always /queue first, then /history. "Gone" needs two such rounds a second apart over one
connection; a refused, failed or timed-out reply is "unknown" and never "gone".
"""

import asyncio
import contextlib
import enum
import json
from dataclasses import dataclass
from typing import Any

import psycopg
import structlog

from atelier.comfy.client import HistoryEntry
from atelier.comfy.errors import ComfyError, LostServer, Rejected
from atelier.comfy.messages import Executing, ExecutionStart, Message, Preview
from atelier.comfy.prefixes import rewrite_prefixes
from atelier.dispatch.collect import saves_to_socket
from atelier.dispatch.gauge import Gauge
from atelier.dispatch.host import Host
from atelier.jobs.model import Cause, Claim
from atelier.kit import clock
from atelier.kit.errors import Refusal
from atelier.storage.model import StorageUnavailable

ROUND_SECONDS = 1.0
URGENT_SECONDS = 0.25

_log = structlog.get_logger(__name__)


class Sight(enum.Enum):
    """What one look at the server showed."""

    PENDING = "pending"
    RUNNING = "running"
    ABSENT = "absent"


class Gone(enum.Enum):
    """An end without a result."""

    LOST = "the server does not answer"
    FORGOTTEN = "the server knows nothing of it"


@dataclass(frozen=True, slots=True)
class NotPlaced:
    """Its inputs could not be brought to the server; nothing was submitted. With a cause, another try may help."""

    reason: str
    cause: Cause | None = None


@dataclass(frozen=True, slots=True)
class NotSent:
    """Nobody was there to ask: the server never heard of it."""

    reason: str


End = HistoryEntry | Rejected | Gone | NotPlaced | NotSent


class Attempt:
    """The part of an attempt's life that occupies a server: `run` gives how it ended there."""

    def __init__(self, claim: Claim, host: Host, *, adopted: bool = False) -> None:
        self.claim = claim
        self.host = host
        self.prompt_id = str(claim.prompt_id)
        self.graph: dict[str, Any] = json.loads(claim.graph_text)
        self.adopted = adopted
        self.cancel_asked = claim.canceling
        self.withdraw_asked = False
        self.submitted = adopted
        self.behind: Attempt | None = None
        self.sent = asyncio.Event()
        if adopted:
            self.sent.set()
        self.timed_out = False
        self.started_at: float | None = None
        self.ended_at: float | None = None
        self.started_write: asyncio.Task[None] | None = None
        self.started_timer: asyncio.TimerHandle | None = None
        self.frames: list[Preview] = []
        self._gauge = Gauge(self.graph)
        self._savers = saves_to_socket(self.graph)
        self._poke = asyncio.Event()
        self._finished = False
        self._doubtful = adopted
        self._stopped_at: float | None = None
        self._failed = False
        self._heard = clock.monotonic()
        self._absent_since: tuple[float, int] | None = None
        if claim.attempt_state == "running":
            self.started_at = clock.monotonic()

    # What the socket and the dispatcher say ----------------------------------------------------

    def hear(self, message: Message) -> None:
        """A message of the server that belongs to this prompt."""
        self._heard = clock.monotonic()
        match message:
            case ExecutionStart():
                self.note_started()
            case Executing(node=None):
                self.ended_at = self._heard
                self._finished = True
                self._poke.set()
                self.host.let_go(self)
            case Preview(node_id=node) if node in self._savers:
                self.frames.append(message)
            case Preview(node_id=node, content_type=content_type, image=image):
                self.host.telemetry.preview(self.claim.job_id, node or "", content_type, image)
            case _:
                progress = self._gauge.take(message)
                if progress is not None:
                    self.host.telemetry.progress(self.claim.job_id, progress)

    def ran(self) -> float:
        """Seconds since the server began it, as far as we know."""
        return 0.0 if self.started_at is None else clock.monotonic() - self.started_at

    def forget_start(self) -> bool:
        """Call off the note that it began; True when it had begun and the note was still to come."""
        if self.started_timer is None:
            return False
        self.started_timer.cancel()
        return self.started_write is None

    def note_started(self) -> None:
        if self.started_at is None:
            self.started_at = clock.monotonic()
            self.host.started(self)

    def cancel(self) -> None:
        self.cancel_asked = True
        self._poke.set()

    def withdraw(self) -> None:
        """Ask for this prompt back, unless it begins first."""
        self.withdraw_asked = True
        self._poke.set()

    def look_now(self) -> None:
        """Something happened to the server: ask it soon."""
        self._doubtful = True
        self._poke.set()

    # Its way through the server ----------------------------------------------------------------

    async def run(self) -> End | None:
        """Bring the prompt to the server and watch it to its end; None when it was canceled before that."""
        if not self.submitted:
            try:
                if self.cancel_asked:
                    return None
                refused = await self._submit()
            finally:
                self.sent.set()
                self.behind = None  # else each prompt would keep all those before it in memory
            if refused is not None:
                return refused
        return await self._watch()

    async def _submit(self) -> Rejected | NotPlaced | NotSent | None:
        try:
            placed = await self.host.placer.place(self.claim.job_id, self.graph)
        except LostServer as lost:
            self.host.trouble(str(lost))
            return NotSent(str(lost)) if lost.never_sent else NotPlaced(str(lost), Cause.SERVER_LOST)
        except psycopg.OperationalError as error:
            return NotSent(str(error))
        except StorageUnavailable as refusal:
            return NotPlaced(refusal.message, Cause.STORAGE)
        except (ComfyError, Refusal, OSError) as error:
            return NotPlaced(str(error))
        if self.behind is not None:
            await self.behind.sent.wait()  # as long as its own uploads and submit may take, which are bounded
        return await self._post(placed)

    async def _post(self, placed: dict[str, Any]) -> Rejected | NotSent | None:
        day = clock.utcnow().strftime("%Y%m%d")
        graph = rewrite_prefixes(placed, f"atelier/{day}/{self.prompt_id}")
        try:
            await self.host.client.submit(
                graph, prompt_id=self.prompt_id, client_id=self.host.client_id, extra_data=self._extra_data()
            )
        except Rejected as rejected:
            return rejected
        except ComfyError as error:
            if isinstance(error, LostServer) and error.never_sent:
                self.host.trouble(str(error))
                return NotSent(str(error))
            _log.warning("attempt.submit_in_doubt", job=str(self.claim.job_id), reason=str(error))
            self.host.trouble(str(error))
            self._doubtful = True
        self.submitted = True
        return None

    def _extra_data(self) -> dict[str, Any]:
        return dict(self.claim.secrets or {})

    async def _watch(self) -> End:
        while True:
            await self._pause()
            if self.host.lost:
                return Gone.LOST
            if not self._due():
                continue
            try:
                await self._end_overdue_run()
                end = await self._ask()
            except ComfyError as error:
                self.host.trouble(str(error))
                self._absent_since = None
                self._doubtful = self._failed = True
                continue
            self._failed = False
            if end is not None:
                return end

    async def _pause(self) -> None:
        """Until somebody pokes, or patience ends. What comes while the server is asked wakes the next pause."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._patience()):
                await self._poke.wait()
        self._poke.clear()

    def _patience(self) -> float:
        if self._finished and self._absent_since is None and not self._failed:
            return 0.0
        if self._stopped_at is not None:
            return URGENT_SECONDS
        if self._doubtful or self._absent_since is not None:
            return ROUND_SECONDS
        return self.host.settings.silent_after if self.host.hears else self.host.settings.poll_interval

    def _due(self) -> bool:
        if self._finished or self._doubtful or self.cancel_asked or self.withdraw_asked or not self.host.hears:
            return True
        if self._overdue():
            return True
        return clock.monotonic() - self._heard >= self.host.settings.silent_after

    async def _ask(self) -> End | None:
        """One round; None when the prompt lives or when nothing is sure yet."""
        if self._finished:
            entry = await self.host.client.history(self.prompt_id)
            if entry is not None:
                return entry
        if (self.cancel_asked or self.withdraw_asked) and self._may_stop():
            await self._stop()
        match await self._look():
            case HistoryEntry() as entry:
                return entry
            case Sight.ABSENT:
                return self._maybe_gone()
            case sight:
                self._lives(sight)
                return None

    async def _end_overdue_run(self) -> None:
        """A run that takes longer than it may is interrupted, and exactly this prompt."""
        if self._overdue() and self._may_stop():
            await self.host.client.interrupt(self.prompt_id)
            self.timed_out = True
            self._stopped_at = clock.monotonic()

    def _may_stop(self) -> bool:
        """A server forgets an interrupt that comes just before a prompt begins, so it is told again."""
        return self._stopped_at is None or clock.monotonic() - self._stopped_at >= ROUND_SECONDS

    def _overdue(self) -> bool:
        limit = self.host.settings.run_timeout
        return limit is not None and self.started_at is not None and clock.monotonic() - self.started_at > limit

    async def _stop(self) -> None:
        await self.host.client.delete([self.prompt_id])
        if self.cancel_asked:
            await self.host.client.interrupt(self.prompt_id)
            self._stopped_at = clock.monotonic()

    async def _look(self) -> HistoryEntry | Sight:
        queue = await self.host.client.queue()
        self.host.well()
        if any(item.prompt_id == self.prompt_id for item in queue.running):
            return Sight.RUNNING
        if any(item.prompt_id == self.prompt_id for item in queue.pending):
            return Sight.PENDING
        return await self.host.client.history(self.prompt_id) or Sight.ABSENT

    def _lives(self, sight: Sight) -> None:
        self._absent_since = None
        self._doubtful = self.adopted
        self._heard = clock.monotonic()
        if sight is Sight.RUNNING:
            self.withdraw_asked = False
            self.note_started()

    def _maybe_gone(self) -> Gone | None:
        """Gone for sure: deleted by us, or absent in two rounds over one connection a second apart."""
        now, epoch = clock.monotonic(), self.host.epoch
        taken_back = self._stopped_at is not None or self.withdraw_asked
        if taken_back and self.started_at is None and not self._doubtful:
            return Gone.FORGOTTEN
        if self._absent_since is None or self._absent_since[1] != epoch:
            self._absent_since = (now, epoch)
            return None
        if now - self._absent_since[0] >= ROUND_SECONDS * 0.95:
            return Gone.FORGOTTEN
        return None
