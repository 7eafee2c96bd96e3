"""How an attempt's time on a server can end, as values."""

import enum
from dataclasses import dataclass

from atelier.comfy.client import HistoryEntry
from atelier.comfy.errors import Rejected
from atelier.jobs.model import Cause


class Sight(enum.Enum):
    """What one look at the server showed."""

    PENDING = "pending"
    RUNNING = "running"
    ABSENT = "absent"


class Gone(enum.Enum):
    """An end without a result."""

    LOST = "the server does not answer"
    FORGOTTEN = "the server knows nothing of it"
    WEDGED = "the server's queue stands still"
    STUCK = "the server does not stop it"
    EVICTED = "the server was quarantined"


@dataclass(frozen=True, slots=True)
class NotPlaced:
    """Its inputs could not be brought to the server; nothing was submitted. With a cause, another try may help."""

    reason: str
    cause: Cause | None = None


@dataclass(frozen=True, slots=True)
class NotSent:
    """The server never heard of it, and the job is not to blame: it waits again, for `delay` seconds at least."""

    reason: str
    delay: float = 0.0


End = HistoryEntry | Rejected | Gone | NotPlaced | NotSent
