"""Why a job waits, in one sentence with names and seconds; it tells nobody anything of others, nor an address."""

import bisect
import functools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from atelier.fleet.forecast import Expected, Forecast
from atelier.fleet.model import Missing, Waiting
from atelier.fleet.scene import Scene, Sharing, Station, sharing
from atelier.fleet.words import jobs, joined, span

CLASSES = range(1, 11)
MOST_NAMED = 3
LONGEST_NAME = 100


@dataclass(frozen=True, slots=True)
class Reasons:
    """Of one scene and the forecast that was made of it."""

    scene: Scene
    forecast: Forecast
    ranks: "Ranks"

    def why(self, job: Waiting) -> str:
        """The sentence, without a full stop."""
        able = self.scene.able(job.requirement_id)
        taking = [station for station in able if not station.closed]
        if not able:
            return self._nobody_has(job)
        if not self.scene.dispatched:
            clauses = ["no dispatcher runs"]
        elif not taking:
            clauses = [_listed([f"{station.server_id} {station.closed}" for station in able])]
        else:
            clauses = self._of(job, taking)
        return f"waiting for {self._wanted(job)}: {'; '.join(clauses)}"

    def _of(self, job: Waiting, taking: Sequence[Station]) -> list[str]:
        expected = self.forecast.expected.get(job.job_id)
        retry = self.scene.retries.get(job.job_id)
        if retry is not None:
            where = f" ({retry.server_id})" if retry.server_id else ""
            cause = f", because {retry.cause}{where}" if retry.cause else ""
            return [f"it is tried again in about {span(retry.seconds)}{cause}"]
        limits = self._limits(job)
        servers = self._servers(job, taking, expected, limited=bool(limits))
        return [*servers, *limits, *self._before(job, expected)] or ["its turn is next"]

    # What it needs -------------------------------------------------------------------------------

    def _nobody_has(self, job: Waiting) -> str:
        gaps = {one: self.scene.lacks(one, job.requirement_id) for one in self.scene.stations}
        if not gaps:
            return "waiting: no server is registered"
        silent = [one for one, gap in gaps.items() if gap is None]
        if silent:
            return f"waiting: {_listed([f'{one} has not told yet what it has' for one in silent])}"
        known = [gap for gap in gaps.values() if gap]
        nowhere = functools.reduce(_both, known)
        if nowhere:
            return f"waiting: no server has {_named([nowhere])} any more"
        return f"waiting: no server has all of {_named(known)} any more"

    def _wanted(self, job: Waiting) -> str:
        """A server, with what not every one has."""
        gaps = (self.scene.lacks(server_id, job.requirement_id) for server_id in self.scene.stations)
        named = _named([gap for gap in gaps if gap])
        return f"a server with {named}" if named else "a server"

    # What keeps it -------------------------------------------------------------------------------

    def _servers(
        self, job: Waiting, taking: Sequence[Station], expected: Expected | None, *, limited: bool
    ) -> list[str]:
        untried = [station for station in taking if station.server_id not in job.avoid]
        told = [] if untried else [f"only {_ids(taking)} is left, which failed it before"]
        stations = untried or taking
        free = [station for station in stations if self._keeps(job, station, stations) is None]
        kept = [words for station in stations if (words := self._keeps(job, station, stations))]
        busy = [station for station in stations if station.rest != 0]
        if not free:
            return [*told, *([_busy(busy)] if busy else []), *kept[:MOST_NAMED]]
        return told if limited else [*told, *self._free(free, busy, expected)]

    def _keeps(self, job: Waiting, station: Station, all_of_them: Sequence[Station]) -> str | None:
        """Why a server does not take it now; empty for one that is busy, None when it could."""
        name = station.server_id
        if station.rest != 0:
            return ""
        if station.next_start > 0:
            return f"{name} has begun as many jobs as it may in a minute, one more in {span(station.next_start)}"
        if station.share < 1 and any(other.share >= 1 for other in all_of_them):
            return f"{name} takes only {station.share:.0%} of the jobs"
        if station.stay > 0 and job.lane and job.lane not in station.warm:
            return f"{name} stays with the models that it has loaded for about {span(station.stay)}"
        return None

    def _free(self, free: Sequence[Station], busy: Sequence[Station], expected: Expected | None) -> list[str]:
        """A server could take it at once: it is about to, or a busy one that has its models is sooner done."""
        where = expected.server_id if expected else None
        warm = next((station for station in busy if station.server_id == where and station.rest), None)
        if warm is not None:
            return [f"{where} has its models loaded and is free in about {span(warm.rest or 0.0)}"]
        if expected is None or expected.position:
            return []
        return [f"{where or free[0].server_id} is free and takes it next"]

    def _limits(self, job: Waiting) -> list[str]:
        told: list[str] = []
        share = self.scene.shares.get(job.party)
        if share is not None and share.may_begin is not None and share.may_begin <= 0:
            whose = "this end user" if job.party.end_user else "your account"
            count = self.scene.running_of(sharing(job.party))
            told.append(f"{jobs(count)} of {whose} {_run(count)} already, as many as may")
        if 0 < self.scene.limits.running <= self.scene.running:
            told.append("as many jobs run as may in the whole fleet")
        return told

    def _before(self, job: Waiting, expected: Expected | None) -> list[str]:
        if expected is None or expected.position == 0:
            return []
        count = expected.position
        own = self.ranks.own(job, count)
        higher = self.ranks.higher(job, count)
        parts = [
            f"{part} {words}"
            for part, words in (
                (higher, "of a higher class"),
                (own, "of yours"),
                (count - own - higher, "by fair share"),
            )
            if part > 0
        ]
        return [f"{jobs(count)} {'is' if count == 1 else 'are'} before it ({', '.join(parts)})"]


class Ranks:
    """Counts, among the first so many jobs in the order in which they begin, those of somebody or of a class."""

    def __init__(self, order: Sequence[Waiting]) -> None:
        self._places: dict[tuple[Sharing | None, int], list[int]] = {}
        for place, job in enumerate(order):
            for who in (None, sharing(job.party)):
                self._places.setdefault((who, job.party.priority), []).append(place)

    def own(self, job: Waiting, first: int) -> int:
        """Jobs of its account and end user."""
        return sum(self._count(sharing(job.party), priority, first) for priority in CLASSES)

    def higher(self, job: Waiting, first: int) -> int:
        """Jobs of others that are of a higher class."""
        return sum(
            self._count(None, priority, first) - self._count(sharing(job.party), priority, first)
            for priority in CLASSES
            if priority > job.party.priority
        )

    def _count(self, who: Sharing | None, priority: int, first: int) -> int:
        return bisect.bisect_left(self._places.get((who, priority), ()), first)


def _both(one: Missing, other: Missing) -> Missing:
    """What neither has."""
    return Missing(one.classes & other.classes, one.models & other.models)


def _busy(stations: Sequence[Station]) -> str:
    """Which of them is free first, and when."""
    known = [station for station in stations if station.rest is not None]
    if not known:
        return f"{_ids(stations)} {'is' if len(stations) == 1 else 'are'} busy, nobody knows for how long"
    first = min(known, key=lambda station: (station.rest or 0.0, station.server_id))
    if len(stations) == 1:
        return f"{first.server_id} is busy for about {span(first.rest or 0.0)}"
    return f"{len(stations)} servers are busy, {first.server_id} for about {span(first.rest or 0.0)}"


def _named(gaps: Iterable[Missing]) -> str:
    """Model files before node classes, a few of them."""
    known = list(gaps)
    models = sorted({ref.value for gap in known for ref in gap.models})
    classes = sorted({name for gap in known for name in gap.classes})
    names = models or [f"node {name}" for name in classes]
    more = len(names) - MOST_NAMED
    shown = [_short(name) for name in names[:MOST_NAMED]] + ([f"{more} more"] if more > 0 else [])
    return joined(shown)


def _short(name: str) -> str:
    return name if len(name) <= LONGEST_NAME else f"{name[:LONGEST_NAME]}…"


def _ids(stations: Sequence[Station]) -> str:
    return joined([station.server_id for station in stations[:MOST_NAMED]])


def _listed(words: Sequence[str]) -> str:
    more = len(words) - MOST_NAMED
    return ", ".join([*words[:MOST_NAMED], *([f"and {more} more"] if more > 0 else [])])


def _run(count: int) -> str:
    return "runs" if count == 1 else "run"
