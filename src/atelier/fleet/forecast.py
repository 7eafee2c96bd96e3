"""When each waiting job will begin, and after how many others: the policy's rules in a simulated time; pure.

The policy judges all that waits anew whenever a server becomes free, which takes it a millisecond. Here its rules
are kept for groups of like jobs: two hundred jobs on sixty-four servers take about ten milliseconds.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from atelier.fleet.course import Begin, Course
from atelier.fleet.lines import in_turn
from atelier.fleet.model import Waiting
from atelier.fleet.policy import UNMEASURED_RUN
from atelier.fleet.scene import Scene
from atelier.kit.ids import JobId, ServerId

EXACTLY = 200
"""So many jobs are followed one by one; those behind them begin at the pace of these."""


@dataclass(frozen=True, slots=True)
class Expected:
    """`position`: how many waiting jobs begin before it. `begins_in`: seconds, None where nobody can know.

    `server_id`: where, as far as that can be foreseen.
    """

    position: int
    begins_in: float | None = None
    server_id: ServerId | None = None


@dataclass(frozen=True, slots=True)
class Forecast:
    """`order`: what waits, by when it begins; what cannot begin comes last, in the order of its turns."""

    expected: Mapping[JobId, Expected]
    order: Sequence[Waiting]


def forecast(scene: Scene) -> Forecast:
    """What every waiting job may expect. A job that cannot begin has its turn for a position."""
    turns = list(in_turn(scene.waiting, scene.shares, _Usual(scene).run))
    begins = Course(scene, turns[:EXACTLY]).begins() if scene.dispatched else {}
    place = {job.job_id: number for number, job in enumerate(turns)}
    able = _able(scene, turns[EXACTLY:]) if begins else []
    later = {job.job_id: number for number, job in enumerate(able, 1)}
    first = sorted((job for job in turns if job.job_id in begins), key=lambda job: begins[job.job_id].at)
    going = {job.job_id for job in first} | later.keys()
    expected = {job.job_id: Expected(place[job.job_id]) for job in turns if job.job_id not in going}
    expected |= {job.job_id: _told(number, begins[job.job_id]) for number, job in enumerate(first)}
    expected |= _at_their_pace(later, begins)
    return Forecast(expected, [*first, *able, *(job for job in turns if job.job_id not in going)])


def _told(position: int, begin: Begin) -> Expected:
    return Expected(position, begin.at if begin.sure else None, begin.server_id)


def _at_their_pace(later: Mapping[JobId, int], begins: Mapping[JobId, Begin]) -> dict[JobId, Expected]:
    """What is behind those that were followed, by how quickly these begin."""
    last = max((begin.at for begin in begins.values()), default=0.0)
    sure = len(begins) > 1 and all(begin.sure for begin in begins.values())
    each = last / (len(begins) - 1) if sure else None
    return {
        job_id: Expected(len(begins) + number - 1, None if each is None else last + number * each)
        for job_id, number in later.items()
    }


def _able(scene: Scene, jobs: Sequence[Waiting]) -> list[Waiting]:
    """Those that a server could run that takes jobs."""
    open_for = {
        requirement_id: any(not station.closed for station in scene.able(requirement_id))
        for requirement_id in {job.requirement_id for job in jobs}
    }
    return [job for job in jobs if open_for[job.requirement_id]]


class _Usual:
    """Seconds that graphs run on whichever server they were measured on."""

    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        self._seconds: dict[bytes, float] = {}

    def run(self, job: Waiting) -> float:
        if job.shape not in self._seconds:
            runs = (self._scene.run_seconds(job.shape, server_id) for server_id in self._scene.stations)
            self._seconds[job.shape] = next((run for run in runs if run is not None), UNMEASURED_RUN)
        return self._seconds[job.shape]
