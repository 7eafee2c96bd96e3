"""The one home of time: wall-clock times are aware and in UTC, durations come from a monotonic clock."""

import datetime as dt
import time


def utcnow() -> dt.datetime:
    """The wall clock, aware, in UTC. Leases never use it: they ask the database's clock."""
    return dt.datetime.now(dt.UTC)  # noqa: TID251 - this is the one home


def monotonic() -> float:
    """Seconds that only grow, for measuring durations inside one process."""
    return time.monotonic()


def rfc3339(moment: dt.datetime) -> str:
    """`2026-11-21T12:00:00.123456Z`: always with a zone, always Z, as every SDK accepts it."""
    return moment.astimezone(dt.UTC).isoformat().replace("+00:00", "Z")
