"""What GET /jobs may be asked: a page size, a cursor, shown states and label filters."""

from collections.abc import Sequence
from dataclasses import dataclass

from starlette.datastructures import QueryParams

from atelier.dialects.comfy_v2.labels import parse_filters
from atelier.dialects.comfy_v2.submission import InvalidRequest
from atelier.jobs.model import JobState

DEFAULT_LIMIT = 20
MAX_LIMIT = 100


@dataclass(frozen=True, slots=True)
class Listing:
    limit: int
    cursor: str | None
    labels: dict[str, str]
    states: tuple[JobState, ...]


def parse_listing(query: QueryParams) -> Listing:
    """Raises InvalidRequest and InvalidMetadataFilter. The cursor is checked by the jobs that gave it."""
    return Listing(
        limit=_limit(query.get("limit")),
        cursor=query.get("cursor"),
        labels=parse_filters(query.multi_items()),
        states=_states(query.get("status")),
    )


def _limit(text: str | None) -> int:
    if text is None:
        return DEFAULT_LIMIT
    if not text.isascii() or not text.isdigit() or len(text) > 3 or not 1 <= int(text) <= MAX_LIMIT:
        raise InvalidRequest(f"limit must be a whole number from 1 to {MAX_LIMIT}.")
    return int(text)


def _states(text: str | None) -> tuple[JobState, ...]:
    """The stored states behind the shown ones that `text` lists with commas."""
    if text is None:
        return ()
    wanted = set(text.split(","))
    unknown = wanted - {state.shown.value for state in JobState}
    if unknown:
        raise InvalidRequest(f"There is no status {min(unknown)[:40]!r}.", details={"known": _shown()})
    return tuple(state for state in JobState if state.shown.value in wanted)


def _shown() -> Sequence[str]:
    return sorted({state.shown.value for state in JobState})
