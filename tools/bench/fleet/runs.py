"""What servers did and when, by their own timestamps: execution_start and execution_success, whole ms."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import aiohttp

from tools.bench.direct import run_of
from tools.bench.turns import mean, quantile


@dataclass(frozen=True, slots=True)
class Run:
    """Milliseconds of the wall clock."""

    start: float
    end: float

    def inside(self, start: float, end: float) -> float:
        return max(min(self.end, end) - max(self.start, start), 0.0)


@dataclass(frozen=True, slots=True)
class Saturated:
    """A fleet while all its servers had work waiting. `seconds` long; `gaps` between runs in milliseconds."""

    servers: int
    seconds: float
    rate: float
    busy: float
    run_millis: float
    gaps: tuple[float, ...]

    @property
    def gap_p50(self) -> float:
        return quantile(list(self.gaps), 0.5)

    @property
    def gap_p99(self) -> float:
        return quantile(list(self.gaps), 0.99)


async def runs(urls: Sequence[str], since: float) -> list[list[Run]]:
    """Each server's runs that began after that moment (seconds of the wall clock), in order."""
    async with aiohttp.ClientSession() as http:
        return [await _runs(http, url, since * 1000) for url in urls]


async def _runs(http: aiohttp.ClientSession, url: str, since: float) -> list[Run]:
    async with http.get(f"{url}/history") as answer:
        entries = (await answer.json(content_type=None)).values()
    found = (Run(*run_of(entry["status"]["messages"])) for entry in entries)
    return sorted((run for run in found if run.start >= since), key=lambda run: run.start)


def saturated(fleet: Sequence[Sequence[Run]], submitted: float) -> Saturated:
    """From when every server had begun and all was submitted until the first server began its last run but one.

    What ran partly inside counts by the part, so a window that is no multiple of a run is no gain and no loss.
    """
    if not all(len(each) > 2 for each in fleet):
        raise ValueError("a server ran fewer than three jobs: that is no saturated fleet")
    begin = max(submitted * 1000, *(each[0].start for each in fleet))
    end = min(each[-2].start for each in fleet)
    spent = [(run.inside(begin, end), run.end - run.start) for each in fleet for run in each]
    return Saturated(
        servers=len(fleet),
        seconds=(end - begin) / 1000,
        rate=sum(part / whole for part, whole in spent if whole) / (end - begin) * 1000,
        busy=sum(part for part, _ in spent) / (len(fleet) * (end - begin)),
        run_millis=mean([whole for part, whole in spent if part]),
        gaps=tuple(
            max(later.start - earlier.end, 0.0)
            for each in fleet
            for earlier, later in itertools.pairwise(each)
            if earlier.end >= begin and later.start <= end
        ),
    )
