"""An account's own log: what happened to its newest jobs, in lines for people, oldest first."""

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass

from atelier.jobs.model import JobState
from atelier.jobs.store import journal as store
from atelier.jobs.store.journal import Course
from atelier.kit.database import Tx
from atelier.kit.ids import AccountId

MOST_JOBS = 100


@dataclass(frozen=True, slots=True)
class Line:
    at: dt.datetime
    text: str


async def lines(tx: Tx, account_id: AccountId) -> list[Line]:
    """Of the last hundred jobs of the account."""
    courses = await store.newest(tx, account_id, MOST_JOBS)
    return sorted((line for course in reversed(courses) for line in told(course)), key=lambda line: line.at)


def told(course: Course) -> Iterator[Line]:
    """Accepted, begun, ended; in the words that a server's log has for it, as far as it has any."""
    named = f"prompt {course.prompt_id}"
    yield Line(course.created_at, f"got {named}")
    if course.started_at is not None:
        where = f" on {course.server_id}" if course.server_id else ""
        yield Line(course.started_at, f"{named} started{where}")
    if course.finished_at is not None:
        yield Line(course.finished_at, f"{named} {_end(course, course.finished_at)}")


def _end(course: Course, finished_at: dt.datetime) -> str:
    if course.state is JobState.SUCCEEDED:
        seconds = (finished_at - (course.started_at or course.created_at)).total_seconds()
        return f"executed in {seconds:.2f} seconds"
    return f"{course.state}: {course.reason}" if course.reason else str(course.state)
