"""What the database says of all jobs once a run is over; values only, read once."""

import datetime as dt
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from atelier.kit.database import Database, Tx


@dataclass(frozen=True, slots=True)
class JobFact:
    """`number` is the label that its client gave it."""

    id: uuid.UUID
    number: str | None
    state: str
    event_seq: int
    error: Mapping[str, Any] | None
    tries: int
    server_deaths: int
    dispatcher_losses: int
    created_at: dt.datetime
    finished_at: dt.datetime | None

    @property
    def code(self) -> str:
        return str((self.error or {}).get("code", ""))

    @property
    def message(self) -> str:
        return str((self.error or {}).get("message", ""))[:300]


@dataclass(frozen=True, slots=True)
class AttemptFact:
    job_id: uuid.UUID
    number: int
    prompt_id: uuid.UUID
    server: str
    state: str
    outcome: str | None
    evidence: Mapping[str, Any] | None
    claimed_at: dt.datetime
    started_at: dt.datetime | None
    ended_at: dt.datetime | None

    @property
    def cause(self) -> str:
        """Why it is tried again, if it is."""
        return str((self.evidence or {}).get("cause", ""))


@dataclass(frozen=True, slots=True)
class EventFact:
    job_id: uuid.UUID
    seq: int
    kind: str
    terminal: bool
    data: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class HoldFact:
    job_id: uuid.UUID
    state: str
    amount: int
    captured: int


@dataclass(frozen=True, slots=True)
class ServerFact:
    """Something that happened to a server."""

    server: str
    kind: str
    data: Mapping[str, Any]
    at: dt.datetime


@dataclass(frozen=True, slots=True)
class Facts:
    """`outputs` names the job of each output; `dead_letters` the code of each job that was given up."""

    jobs: Sequence[JobFact]
    attempts: Sequence[AttemptFact] = ()
    events: Sequence[EventFact] = ()
    holds: Sequence[HoldFact] = ()
    outputs: Sequence[uuid.UUID] = ()
    dead_letters: Mapping[uuid.UUID, str] = field(default_factory=dict[uuid.UUID, str])
    server_events: Sequence[ServerFact] = ()

    def attempts_of(self) -> Mapping[uuid.UUID, Sequence[AttemptFact]]:
        """By job, in the order in which they were made."""
        found: dict[uuid.UUID, list[AttemptFact]] = {job.id: [] for job in self.jobs}
        for attempt in self.attempts:
            found.setdefault(attempt.job_id, []).append(attempt)
        return found


_JOBS = """
SELECT id, metadata ->> 'number', state, event_seq, error, tries, server_deaths, dispatcher_losses, created_at,
       finished_at
FROM jobs ORDER BY position
"""
_ATTEMPTS = """
SELECT job_id, number, prompt_id, server_id, state, outcome, evidence, claimed_at, started_at, ended_at
FROM attempts ORDER BY job_id, number
"""
_EVENTS = "SELECT job_id, seq, kind, terminal, data FROM job_events ORDER BY job_id, seq"
_HOLDS = "SELECT job_id, state, amount, captured FROM holds"
_OUTPUTS = "SELECT job_id FROM outputs"
_DEAD_LETTERS = "SELECT job_id, code FROM dead_letters"
_SERVER_EVENTS = "SELECT server_id, kind, data, created_at FROM server_events ORDER BY id"


async def read(database: Database) -> Facts:
    """Everything, in one transaction."""
    async with database.transaction() as tx:
        await tx.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        return Facts(
            jobs=[JobFact(*row) for row in await _rows(tx, _JOBS)],
            attempts=[AttemptFact(*row) for row in await _rows(tx, _ATTEMPTS)],
            events=[EventFact(*row) for row in await _rows(tx, _EVENTS)],
            holds=[HoldFact(*row) for row in await _rows(tx, _HOLDS)],
            outputs=[row[0] for row in await _rows(tx, _OUTPUTS)],
            dead_letters=dict(await _rows(tx, _DEAD_LETTERS)),
            server_events=[ServerFact(*row) for row in await _rows(tx, _SERVER_EVENTS)],
        )


async def _rows(tx: Tx, query: str) -> list[Any]:
    return await (await tx.execute(query.encode())).fetchall()
