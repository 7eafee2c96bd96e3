"""What a listing of jobs may be asked: which of them, from when to when, a page at a time."""

import datetime as dt
from collections.abc import Mapping
from typing import Any

from starlette.datastructures import QueryParams

from atelier.dialects import asked
from atelier.dialects.comfy_v2.labels import parse_filters
from atelier.dialects.whose import batch_of
from atelier.jobs.model import JobState
from atelier.jobs.store.listing import Wanted

LONGEST = 128

_SHOWN = sorted({str(state.shown) for state in JobState})


def _text(name: str, description: str) -> dict[str, Any]:
    schema = {"type": "string", "minLength": 1, "maxLength": LONGEST}
    return {"name": name, "in": "query", "description": description, "schema": schema}


def _moment(name: str, description: str) -> dict[str, Any]:
    return {
        "name": name,
        "in": "query",
        "description": description,
        "schema": {"type": "string", "format": "date-time"},
    }


PARAMETERS: dict[str, Any] = {
    "parameters": [
        asked.LIMIT,
        {"name": "cursor", "in": "query", "schema": {"type": "string", "pattern": "^[0-9a-f-]{0,36}$"}},
        {
            "name": "state",
            "in": "query",
            "description": "Shown states, with commas between them.",
            "schema": {"type": "array", "items": {"enum": _SHOWN}, "minItems": 1},
            "style": "form",
            "explode": False,
        },
        _text("workflow", "Jobs of this workflow."),
        {
            "name": "batch",
            "in": "query",
            "description": "Jobs of this batch.",
            "schema": {"type": "string", "format": "uuid"},
        },
        _text("end_user", "Jobs for this end user."),
        _moment("since", "Accepted at this moment or later; with an offset, like 2026-11-21T00:00:00Z."),
        _moment("until", "Accepted at this moment or earlier."),
        {
            "name": "metadata",
            "in": "query",
            "description": "`metadata[album]=red`: jobs with this label; three at most.",
            "style": "deepObject",
            "explode": True,
            "schema": {"type": "object", "additionalProperties": {"type": "string"}, "maxProperties": 3},
        },
        {
            "name": "account",
            "in": "query",
            "description": "`all`: the jobs of all accounts, for admins; by `state` alone.",
            "schema": {"type": "string", "enum": ["all", "mine"], "default": "mine"},
        },
    ]
}


def wanted_by(query: QueryParams) -> Wanted:
    """Raises InvalidQuery, InvalidMetadataFilter."""
    return Wanted(
        states=_states(query.get("state")),
        labels=parse_filters(query.multi_items()),
        workflow=asked.text("workflow", query.get("workflow"), LONGEST),
        batch_id=batch_of(query.get("batch")),
        end_user=asked.text("end_user", query.get("end_user"), LONGEST),
        since=_time(query, "since"),
        until=_time(query, "until"),
    )


def states_of_everybody(wanted: Wanted) -> tuple[JobState, ...]:
    """All accounts' jobs have an index by time alone. Raises InvalidQuery where more is asked of them."""
    if wanted != Wanted(states=wanted.states):
        raise asked.InvalidQuery("The jobs of all accounts are listed by state alone.")
    return tuple(wanted.states)


def _states(text: str | None) -> tuple[JobState, ...]:
    """The stored states behind the shown ones. Raises InvalidQuery."""
    wanted = set(text.split(",")) if text is not None else set[str]()
    if unknown := wanted - set(_SHOWN):
        raise asked.InvalidQuery(f"There is no state {min(unknown)[:40]!r}.", details={"known": _SHOWN})
    return tuple(state for state in JobState if str(state.shown) in wanted)


def _time(query: Mapping[str, str], name: str) -> dt.datetime | None:
    """Raises InvalidQuery."""
    text = query.get(name)
    if text is None:
        return None
    try:
        when = dt.datetime.fromisoformat(text)
    except ValueError:
        when = None
    if when is None or when.tzinfo is None:
        raise asked.InvalidQuery(f"{name} is a moment with its offset from UTC, like 2026-11-21T00:00:00Z.")
    return when
