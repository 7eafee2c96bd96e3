"""What one server offers: a free place, one behind a prompt that ends soon, or when it will have one.

It follows what is loaded there and how long it all takes; nothing in here waits or asks.
"""

from collections.abc import Sequence

from atelier.dispatch.attempt import Attempt
from atelier.dispatch.heat import Heat
from atelier.dispatch.model import DispatchSettings
from atelier.dispatch.pace import Pace
from atelier.dispatch.throttle import Throttle
from atelier.fleet import policy, prefetch
from atelier.fleet.model import Lease, Server, Slot, SlotKind
from atelier.kit import clock

COLLECTING = 1.0
"""Seconds that a server is taken to be busy with handing over what it made."""


class Offers:
    """Of one leased server. `on_server` everywhere: its attempts that it is not done with, in its order."""

    def __init__(self, lease: Lease, pace: Pace, settings: DispatchSettings) -> None:
        self.server = lease.server
        self.throttle = Throttle()
        self.heat = Heat(lease.server.warm)
        self._fence = lease.fence
        self._pace = pace
        self._settings = settings
        self._cold: dict[str, bool | None] = {}

    def told(self, server: Server) -> None:
        """The server's row as it is now: its operator may have changed it."""
        self.server = server

    def slot(self, on_server: Sequence[Attempt], *, collecting: bool) -> Slot:
        """What it offers now. `collecting`: as much as may be is being fetched from it."""
        now = clock.monotonic()
        kind, rest = self._place(on_server, now, collecting=collecting)
        return Slot(
            self.server.id,
            self._fence,
            kind,
            rest,
            warm=self.heat.lanes(attempt.claim.lane for attempt in on_server),
            stay=self.heat.stays(now),
            vram=self.heat.vram,
        )

    def _place(self, on_server: Sequence[Attempt], now: float, *, collecting: bool) -> tuple[SlotKind, float]:
        throttled = self.throttle.rest(now, self.per_minute)
        if collecting or throttled:
            return SlotKind.BUSY, max(self._until_idle(on_server), throttled, COLLECTING if collecting else 0.0)
        if not on_server:
            return SlotKind.IDLE, 0.0
        rest = self.rest(on_server)
        if len(on_server) == 1 and rest is not None and prefetch.may_place_ahead(rest, video=_video(on_server[0])):
            return SlotKind.AHEAD, rest
        return SlotKind.BUSY, self._until_idle(on_server)

    @property
    def per_minute(self) -> int:
        """Jobs that it may be given within a minute; 0: any number."""
        own = self.server.max_per_minute
        return self._settings.server_jobs_per_minute if own is None else own

    def room(self) -> int | None:
        """How many more jobs it may be given just now; None: any number."""
        return self.throttle.room(clock.monotonic(), self.per_minute)

    def rest(self, on_server: Sequence[Attempt]) -> float | None:
        """Seconds that the running prompt still needs, as far as measured; None when nothing runs or is known.

        One that is on its way to a free server begins at once, so it counts as just begun.
        """
        running = on_server[0] if on_server else None
        if running is None or (running.started_at is None and running.adopted):
            return None
        return prefetch.expected_rest(self._expected(running), _age(running))

    def _until_idle(self, on_server: Sequence[Attempt]) -> float:
        """Seconds until all that is there has run; a guess where it was not measured."""
        rests = (
            prefetch.expected_rest(self._expected(attempt) or policy.UNMEASURED_RUN, _age(attempt))
            for attempt in on_server
        )
        return sum(rest or 0.0 for rest in rests)

    def _expected(self, attempt: Attempt) -> float | None:
        run = self._pace.expected(attempt.claim.shape, self.server.id)
        return None if run is None else run + self._load(attempt)

    def _load(self, attempt: Attempt) -> float:
        began = attempt.started_at is not None
        cold = self._cold.get(attempt.prompt_id, True) if began else not self.heat.has(attempt.claim.lane)
        return self._pace.loading(attempt.claim.lane, self.server.id) if cold else 0.0

    # What happens there ------------------------------------------------------------------------

    def begins(self, attempt: Attempt) -> None:
        """The server begins this attempt's prompt, and loads its models."""
        self._cold[attempt.prompt_id] = self.heat.begins(attempt.claim.lane, attempt.graph)

    def ended(self, attempt: Attempt, *, well: bool) -> None:
        """It is over; what ran well, and under our eyes, says how long such a run takes."""
        if well and attempt.started_at is None:
            self.begins(attempt)
        cold = self._cold.pop(attempt.prompt_id, None)
        if not well or cold is None or attempt.adopted or attempt.started_at is None or attempt.ended_at is None:
            return
        claim, ran = attempt.claim, attempt.ended_at - attempt.started_at
        self._pace.ran(claim.shape, claim.lane, self.server.id, ran, cold=cold)

    def gone(self, attempt: Attempt) -> None:
        """Nobody will say any more how it ended."""
        self._cold.pop(attempt.prompt_id, None)


def _age(attempt: Attempt) -> float:
    return 0.0 if attempt.started_at is None else clock.monotonic() - attempt.started_at


def _video(attempt: Attempt) -> bool:
    return prefetch.runs_video(str(node["class_type"]) for node in attempt.graph.values())
