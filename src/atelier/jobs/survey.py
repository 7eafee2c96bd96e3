"""The scene of a forecast, read from the database by a bounded number of bounded questions."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from atelier.fleet import fairness
from atelier.fleet.fairness import Standing
from atelier.fleet.machine import machine_of
from atelier.fleet.model import Health, Party, Requirement, Server, Share, Waiting
from atelier.fleet.prefetch import expected_rest
from atelier.fleet.scene import Busy, Limits, Retry, Scene, Station
from atelier.fleet.store import posts
from atelier.fleet.store.posts import Post
from atelier.fleet.view import FleetView
from atelier.fleet.words import span
from atelier.jobs import rules
from atelier.jobs.known import Known
from atelier.jobs.model import Cause
from atelier.jobs.store import prospects
from atelier.jobs.store.prospects import Queued, Run
from atelier.kit import clock
from atelier.kit.database import Tx
from atelier.kit.ids import JobId, ServerId

ROWS = 1200
"""Waiting jobs that a reading has of all parties together; as many again where a few have most of them."""

PARTIES = 1000
REMEMBERED_SECONDS = 5.0
"""After a longer pause between two readings nobody is known to have been idle."""

_CANCELING_REST = 0.5
_UNWELL = {Health.OFFLINE: "offline", Health.QUARANTINED: "in quarantine"}
_NOT_REACHED = "is reached by one dispatcher alone, which does not run"


@dataclass(frozen=True, slots=True)
class Supposed:
    """A job that is not there. The number of its requirement set is negative: it may be none of the database's."""

    waiting: Waiting
    requirement: Requirement


@dataclass(frozen=True, slots=True)
class Seen:
    """`runs` by job; `complete`: all that waits is in the scene."""

    scene: Scene
    runs: Mapping[JobId, Run]
    complete: bool


class Surveyor:
    """Reads scenes. `limits` are the settings'."""

    def __init__(self, view: FleetView | None, limits: Limits) -> None:
        self._known = Known(view)
        self._limits = limits
        self._bases: dict[Party, float] | None = None
        self._based_at = float("-inf")

    async def scene(self, tx: Tx, also: Sequence[JobId] = (), supposed: Supposed | None = None) -> Seen:
        """How everything stands now; `also`: waiting jobs that must be in it wherever they are in the queue.

        `supposed` is in it as if it had just been submitted.
        """
        standings = await prospects.standings(tx, self._limits.running_per_account)
        shares = self._shares(standings)
        queued, complete = await self._queued(tx, shares)
        if also:
            extra = {one.waiting.job_id: one for one in await prospects.some(tx, also)}
            queued = [
                *queued,
                *(extra[job_id] for job_id in extra.keys() - {one.waiting.job_id for one in queued}),
            ]
        if supposed is not None:
            self._known.suppose(supposed.waiting.requirement_id, supposed.requirement)
            queued = [*queued, Queued(supposed.waiting, 0.0, None, None)]
            shares = {supposed.waiting.party: _newcomer(supposed.waiting.party, shares)} | shares
        runs = await prospects.runs(tx)
        stations = await self._stations(tx, runs, queued)
        scene = Scene(
            stations=stations,
            waiting=tuple(sorted((one.waiting for one in queued), key=lambda job: job.position)),
            shares=shares,
            lacks=self._known.lacks,
            run_seconds=self._known.run_seconds,
            load_seconds=self._known.load_seconds,
            dispatched=any(not station.closed for station in stations.values())
            or bool(await posts.dispatchers(tx)),
            limits=self._limits,
            retries={one.waiting.job_id: _retry(one) for one in queued if one.ready_in > 0},
        )
        return Seen(scene, {run.job_id: run for run in runs}, complete)

    def _shares(self, standings: Sequence[Standing]) -> dict[Party, Share]:
        recent = clock.monotonic() - self._based_at < REMEMBERED_SECONDS
        self._bases = fairness.bases(standings, self._bases if recent else None)
        self._based_at = clock.monotonic()
        return fairness.shares(standings, self._bases)

    async def _queued(self, tx: Tx, shares: Mapping[Party, Share]) -> tuple[list[Queued], bool]:
        """The first jobs of those whose turn comes first; more of each where some have more than others."""
        turns = sorted(shares, key=lambda party: (-party.priority, shares[party].virtual_time))
        parties = turns[:PARTIES]
        if not parties:
            return [], True
        each = math.ceil(ROWS / len(parties))
        queued = await prospects.windows(tx, parties, each)
        full = _full(queued, each)
        if full and len(queued) < ROWS:
            more = math.ceil(ROWS / len(full))
            queued = [one for one in queued if one.waiting.party not in full]
            queued += await prospects.windows(tx, full, more)
            full = _full(queued, more)
        return queued, not full and len(turns) <= len(parties) and len(shares) < prospects.MOST_PARTIES

    async def _stations(self, tx: Tx, runs: Sequence[Run], queued: Sequence[Queued]) -> dict[ServerId, Station]:
        known = await posts.posts(tx)
        await self._known.meet_servers(tx, [post.server for post in known])
        await self._known.meet_requirements(tx, {one.waiting.requirement_id for one in queued})
        await self._known.meet_times(
            tx,
            {one.waiting.shape for one in queued} | {run.shape for run in runs},
            {one.waiting.lane for one in queued} | {run.lane for run in runs},
        )
        begun = await self._begun(tx, known)
        there: dict[ServerId, list[Run]] = {}
        for run in runs:
            there.setdefault(run.server_id, []).append(run)
        stations = {
            post.server.id: self._station(post, there.pop(post.server.id, []), begun.get(post.server.id, ()))
            for post in known
        }
        gone = {name: Station(name, "was removed", self._busy(rest, frozenset())) for name, rest in there.items()}
        return stations | gone

    async def _begun(self, tx: Tx, known: Iterable[Post]) -> Mapping[ServerId, Sequence[float]]:
        caps = {post.server.id: cap for post in known if (cap := self._per_minute(post.server))}
        return await posts.begun(tx, caps, max(caps.values())) if caps else {}

    def _per_minute(self, server: Server) -> int:
        return self._limits.per_minute if server.max_per_minute is None else server.max_per_minute

    def _station(self, post: Post, runs: Sequence[Run], begun: Sequence[float]) -> Station:
        server = post.server
        warm = frozenset(server.warm)
        return Station(
            server_id=server.id,
            closed=_closed(post),
            busy=self._busy(runs, warm),
            warm=warm | {run.lane for run in runs if run.lane},
            stay=post.stay,
            vram=machine_of(server.system).vram_total,
            share=server.share,
            begun=tuple(begun),
            per_minute=self._per_minute(server),
        )

    # What runs -----------------------------------------------------------------------------------

    def _busy(self, runs: Sequence[Run], warm: frozenset[str]) -> tuple[Busy, ...]:
        """A server runs one job at a time: of those that began, all but the last are being fetched."""
        began = [run for run in runs if run.began]
        fetched = [Busy(run.job_id, run.party, 0.0) for run in began[:-1]]
        current = [Busy(run.job_id, run.party, self._rest(run)) for run in began[-1:]]
        behind = [Busy(run.job_id, run.party, self._whole(run, warm)) for run in runs if not run.began]
        return (*fetched, *current, *behind)

    def _rest(self, run: Run) -> float | None:
        if run.canceling:
            return _CANCELING_REST
        return expected_rest(self._known.run_seconds(run.shape, run.server_id), run.seconds)

    def _whole(self, run: Run, warm: frozenset[str]) -> float | None:
        seconds = self._known.run_seconds(run.shape, run.server_id)
        if seconds is None or run.canceling:
            return _CANCELING_REST if run.canceling else None
        load = 0.0 if run.lane in warm else self._known.load_seconds(run.lane, run.server_id)
        return seconds + load


def _newcomer(party: Party, shares: Mapping[Party, Share]) -> Share:
    """Who was given nothing yet begins where its class is."""
    return Share(
        min((share.virtual_time for one, share in shares.items() if one.priority == party.priority), default=0.0)
    )


def _closed(post: Post) -> str:
    """Why a server takes no jobs now, as the end of a sentence; only what anybody may know."""
    server = post.server
    if not server.enabled or server.drain:
        return "is draining" if server.enabled else "is disabled"
    if server.health in _UNWELL:
        return f"has been {_UNWELL[server.health]}{_for_long(server)}"
    if not post.driven:
        return _NOT_REACHED if server.only_dispatcher else "has no dispatcher"
    return "has not answered yet" if server.health is Health.UNKNOWN else ""


def _for_long(server: Server) -> str:
    if server.health_at is None:
        return ""
    return f" for about {span((clock.utcnow() - server.health_at).total_seconds())}"


def _full(queued: Iterable[Queued], each: int) -> list[Party]:
    counts: dict[Party, int] = {}
    for one in queued:
        counts[one.waiting.party] = counts.get(one.waiting.party, 0) + 1
    return [party for party, count in counts.items() if count >= each]


def _retry(one: Queued) -> Retry:
    cause = next((rules.reason(cause) for cause in Cause if cause == one.failed_by), "")
    return Retry(one.ready_in, cause, one.failed_on)
