"""A submitted prompt is watched to its end, by what its socket says and by asking.

The order of asking is always /queue first, then /history. "Gone" needs two such rounds a second apart over one
connection; a refused, failed or timed-out reply is "unknown" and never "gone".
"""

import asyncio
import contextlib
from typing import TYPE_CHECKING

from atelier.comfy.client import HistoryEntry, QueueItem, Success
from atelier.comfy.errors import ComfyError
from atelier.dispatch.ends import End, Gone, Sight
from atelier.dispatch.quarantine import Illness
from atelier.dispatch.signs import Look, Signs
from atelier.kit import clock

if TYPE_CHECKING:
    from atelier.dispatch.attempt import Attempt

ROUND_SECONDS = 1.0
URGENT_SECONDS = 0.25


class Watch:
    """What was seen of one attempt's prompt so far. `run` gives how it ended; `sign` is that of a wedged queue."""

    def __init__(self, attempt: "Attempt") -> None:
        settings = attempt.host.settings
        self._attempt = attempt
        self._host = attempt.host
        self.sign = ""
        self.timed_out = False
        self._signs = Signs(
            settings.wedged_after, settings.stalled_after, attempt.host.epoch, heard=attempt.adopted
        )
        self._sent_at = clock.monotonic()
        self._poke = asyncio.Event()
        self._finished = False
        self._doubtful = attempt.adopted
        self._stopped_at: float | None = None
        self._deaf_since: float | None = None
        self._failed = False
        self._heard = clock.monotonic()
        self._runs: QueueItem | None = None
        self._absent_since: tuple[float, int] | None = None

    # What it is told ---------------------------------------------------------------------------

    def sending(self) -> None:
        """The prompt is about to be submitted: over this socket we would hear how it begins."""
        self._signs.epoch, self._sent_at = self._host.epoch, clock.monotonic()

    def hear(self) -> float:
        """The socket said something of this prompt. Gives when, by the monotonic clock."""
        self._heard = clock.monotonic()
        self._signs.heard = True
        return self._heard

    def finish(self) -> None:
        """The socket said that it has ended."""
        self._finished = True
        self._poke.set()

    def doubt(self) -> None:
        """Perhaps the server never took it."""
        self._doubtful = True

    def poke(self) -> None:
        self._poke.set()

    def look_now(self) -> None:
        """Something happened to the server: ask it soon."""
        self._doubtful = True
        self._poke.set()

    # Its rounds --------------------------------------------------------------------------------

    async def run(self) -> End:
        """Watch until it has ended, or its server is of no use any more."""
        while True:
            await self._pause()
            if self._host.lost:
                return Gone.LOST
            if self._attempt.evicted:
                return await self._leave()
            if not self._due():
                continue
            try:
                end = await self._ask()
            except ComfyError as error:
                self._host.trouble(str(error))
                self._absent_since = None
                self._doubtful = self._failed = True
                continue
            self._failed = False
            if end is not None:
                return end

    async def _leave(self) -> End:
        """The server is quarantined: what it has made is taken along, what it would still make is not wanted."""
        prompt_id = self._attempt.prompt_id
        with contextlib.suppress(ComfyError):
            entry = await self._host.client.history(prompt_id)
            if entry is not None and isinstance(entry.verdict, Success):
                return entry
        await self._take_back()
        return Gone.EVICTED

    async def _take_back(self) -> None:
        """Else it would run, for nobody, as soon as the server works again."""
        with contextlib.suppress(ComfyError):
            await self._host.client.delete([self._attempt.prompt_id])
            await self._host.client.interrupt(self._attempt.prompt_id)

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
        if self._doubtful or self._absent_since is not None or self._signs.suspicious:
            return ROUND_SECONDS
        return self._host.settings.silent_after if self._host.hears else self._host.settings.poll_interval

    def _due(self) -> bool:
        asked = self._attempt.cancel_asked or self._attempt.withdraw_asked or self._overdue()
        in_doubt = self._finished or self._doubtful or self._signs.suspicious or not self._host.hears
        return asked or in_doubt or clock.monotonic() - self._heard >= self._host.settings.silent_after

    async def _ask(self) -> End | None:
        """One round; None when the prompt lives or when nothing is sure yet."""
        if self._finished:
            entry = self._told() or await self._host.client.history(self._attempt.prompt_id)
            if entry is not None:
                return entry
        if (self._attempt.cancel_asked or self._attempt.withdraw_asked) and self._may_stop():
            await self._stop()
        match await self._look():
            case HistoryEntry() as entry:
                return entry
            case Sight.ABSENT:
                return self._maybe_gone()
            case sight:
                self._lives(sight)
                await self._end_overdue_run(sight)
                gone = self._wedged(sight) or self._stuck(sight)
                if gone is not None:
                    await self._take_back()
                return gone

    def _told(self) -> HistoryEntry | None:
        """The result as the socket told it, of a run that nobody meddled with."""
        attempt = self._attempt
        asked = attempt.cancel_asked or attempt.withdraw_asked or self._stopped_at is not None
        return None if asked or attempt.adopted else attempt.told.result(attempt.prompt_id)

    async def _end_overdue_run(self, sight: Sight) -> None:
        """A run that takes longer than it may is interrupted, and exactly this prompt.

        It must be seen to run: one that was adopted may have been gone for long, and that is no fault of its own.
        """
        if sight is Sight.RUNNING and self._overdue() and self._may_stop():
            await self._host.client.interrupt(self._attempt.prompt_id)
            self.timed_out = True
            self._stopped_at = clock.monotonic()

    def _may_stop(self) -> bool:
        """A server forgets an interrupt that comes just before a prompt begins, so it is told again."""
        return self._stopped_at is None or clock.monotonic() - self._stopped_at >= ROUND_SECONDS

    def _overdue(self) -> bool:
        return self._attempt.started_at is not None and self._attempt.ran() > self._attempt.limit.seconds

    async def _stop(self) -> None:
        await self._host.client.delete([self._attempt.prompt_id])
        if self._attempt.cancel_asked:
            await self._host.client.interrupt(self._attempt.prompt_id)
            self._stopped_at = clock.monotonic()

    async def _look(self) -> HistoryEntry | Sight:
        prompt_id = self._attempt.prompt_id
        queue = await self._host.client.queue()
        self._host.well()
        self._runs = queue.running[0] if queue.running else None
        if any(item.prompt_id == prompt_id for item in queue.running):
            return Sight.RUNNING
        if any(item.prompt_id == prompt_id for item in queue.pending):
            return Sight.PENDING
        return await self._host.client.history(prompt_id) or Sight.ABSENT

    # What a look means -------------------------------------------------------------------------

    def _lives(self, sight: Sight) -> None:
        self._absent_since = None
        self._doubtful = self._attempt.adopted
        self._heard = clock.monotonic()
        if sight is Sight.RUNNING:
            self._attempt.withdraw_asked = False
            self._attempt.note_started()

    def _wedged(self, sight: Sight) -> Gone | None:
        """The server's queue stands still, by what this prompt sees of it."""
        host, look = self._host, self._seen(sight)
        if blocked := self._signs.blocked(look, host.settings.blocked_after):
            host.quarantine.begin(Illness.BLOCKED, blocked)
            return None  # the quarantine makes it leave
        self.sign = self._signs.judge(look)
        if not self.sign:
            return None
        host.quarantine.begin(Illness.WEDGED, self.sign, self._attempt.prompt_id)
        return Gone.WEDGED

    def _seen(self, sight: Sight) -> Look:
        host, runs = self._host, self._runs
        works = host.hears and host.heard_at > self._sent_at
        ours = runs is None or (runs.client_id or "").startswith(f"atelier-{host.server.id}-")
        stranger = "" if runs is None or ours else runs.prompt_id
        return Look(sight, runs is not None, host.epoch, clock.monotonic(), works, stranger)

    def _stuck(self, sight: Sight) -> Gone | None:
        """It was interrupted, and it goes on all the same."""
        if sight is not Sight.RUNNING or self._stopped_at is None:
            self._deaf_since = None
            return None
        now, patience = clock.monotonic(), self._host.settings.stuck_after
        self._deaf_since = now if self._deaf_since is None else self._deaf_since
        if now - self._deaf_since < patience:
            return None
        reason = f"a prompt goes on {patience:g} s after its interrupt"
        self._host.quarantine.begin(Illness.STUCK, reason, self._attempt.prompt_id)
        return Gone.STUCK

    def _maybe_gone(self) -> Gone | None:
        """Gone for sure: deleted by us, or absent in two rounds over one connection a second apart."""
        now, epoch = clock.monotonic(), self._host.epoch
        taken_back = self._stopped_at is not None or self._attempt.withdraw_asked
        if taken_back and self._attempt.started_at is None and not self._doubtful:
            return Gone.FORGOTTEN
        if self._absent_since is None or self._absent_since[1] != epoch:
            self._absent_since = (now, epoch)
            return None
        if now - self._absent_since[0] >= ROUND_SECONDS * 0.95:
            return Gone.FORGOTTEN
        return None
