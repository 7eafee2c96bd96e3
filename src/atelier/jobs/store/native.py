"""What clients of the native API see of an account's jobs, whatever dialect they came by; read by index, bounded.

A job is shown as a prompt of its `native_prompt_id`, else of its own id. A history is the newest `HISTORY` jobs
that ended, without those that its owner cleared, deleted, or canceled before they began.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, LiteralString

from atelier.jobs.model import Job, JobState
from atelier.jobs.prompt import Prompt, Report
from atelier.jobs.store import native_statements as statements
from atelier.jobs.store.reads import job_of
from atelier.kit.database import Tx
from atelier.kit.ids import AccountId, JobId, parse_uuid
from atelier.kit.written import Written

HISTORY = int(statements.HISTORY)
"""Jobs that a history goes back to, as a server's does (execution.MAXIMUM_HISTORY_SIZE)."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A job as the native API tells it.

    `number`: its place among the account's jobs, as /queue and /history say it. `prompt`: what came with it, None
    for jobs of other dialects. `graph` as the client wrote it; None where it was not asked for. `report`: what the
    server told, None while it runs, for other dialects' jobs, and where a job ended without one. `in_history`: it
    has ended, and its owner has neither cleared nor deleted it, nor canceled it before it began.
    """

    job: Job
    prompt_id: str
    number: float
    prompt: Prompt | None
    graph: Mapping[str, Any] | None
    report: Report | None
    in_history: bool


@dataclass(frozen=True, slots=True)
class Live:
    """A job of the native API that has not ended. `client_id` None: its messages go to nobody in particular."""

    job_id: JobId
    prompt_id: str
    client_id: str | None
    state: JobState
    began: bool


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a listing shows: jobs in one of these stored states, of this workflow (None: any), in which order."""

    states: Collection[JobState]
    workflow_id: str | None
    by_duration: bool
    ascending: bool


async def remaining(tx: Tx, account_id: AccountId) -> int:
    row = await (await tx.execute(statements.REMAINING, {"account": account_id})).fetchone()
    return int(row[0]) if row else 0


async def queue(tx: Tx, account_id: AccountId, limit: int) -> tuple[list[Entry], list[Entry]]:
    """What runs, and the first `limit` (1000 at most) that wait."""
    rows = await _rows(
        tx, statements.QUEUE_ENTRIES, {"account": account_id, "limit": min(limit, int(statements.QUEUE))}
    )
    entry = _reader()
    return [entry(row) for row in rows if row[0] == 0], [entry(row) for row in rows if row[0] != 0]


async def newest(tx: Tx, account_id: AccountId, most: int) -> list[Entry]:
    """The last `most` of the history, oldest first."""
    return _all(await _rows(tx, statements.NEWEST, {"account": account_id, "most": most}))


async def from_oldest(tx: Tx, account_id: AccountId, offset: int, limit: int) -> list[Entry]:
    """Of the history those behind the first `offset`, oldest first."""
    values = {"account": account_id, "most": HISTORY, "offset": min(offset, HISTORY), "limit": limit}
    return _all(await _rows(tx, statements.FROM_OLDEST, values))


async def entry(tx: Tx, account_id: AccountId, prompt_id: str, *, graph: bool) -> Entry | None:
    wanted = parse_uuid(prompt_id)
    if wanted is None:
        return None
    found = _all(await _rows(tx, statements.ENTRY, {"account": account_id, "prompt": wanted, "graph": graph}))
    return found[0] if found else None


async def listing(
    tx: Tx, account_id: AccountId, wanted: Wanted, *, offset: int, limit: int
) -> tuple[list[Entry], int]:
    """One page, and how many there are in all."""
    values = {
        "account": account_id,
        "most": HISTORY,
        "states": [str(state) for state in wanted.states],
        "with_ended": any(state.terminal for state in wanted.states),
        "with_live": any(not state.terminal for state in wanted.states),
        "workflow": wanted.workflow_id,
        "offset": offset,
        "limit": limit,
    }
    rows = await _rows(tx, statements.LISTINGS[wanted.by_duration, wanted.ascending], values)
    return _all(rows), int(rows[0][0]) if rows else 0


async def ended(tx: Tx, account_id: AccountId, job_ids: Collection[JobId]) -> list[Entry]:
    return _all(await _rows(tx, statements.ENDED_OF, {"account": account_id, "ids": list(job_ids)}))


async def news(tx: Tx, account_id: AccountId, seconds: float, told: Collection[JobId]) -> tuple[int, list[Entry]]:
    rows = await _rows(tx, statements.NEWS, {"account": account_id, "seconds": seconds, "told": list(told)})
    return int(rows[0][0]), _all(rows)


async def live(tx: Tx, account_id: AccountId) -> list[Live]:
    rows = await _rows(tx, statements.LIVE_PROMPTS, {"account": account_id})
    return [Live(JobId(row[0]), row[1], row[2], JobState(row[3]), row[4]) for row in rows]


async def prompt_of(tx: Tx, job_id: JobId) -> Prompt | None:
    """What came with a job. The caller has checked whose job it is."""
    row = await (await tx.execute(statements.PROMPT, (job_id,))).fetchone()
    return Prompt(row[0], row[1], tuple(row[2]), row[3]) if row else None


async def clear(tx: Tx, account_id: AccountId) -> None:
    await tx.execute(statements.CLEAR, {"account": account_id})


async def forget(tx: Tx, account_id: AccountId, prompt_ids: Sequence[str]) -> None:
    await tx.execute(statements.FORGET, {"account": account_id, "prompts": _uuids(prompt_ids)})


async def interrupt(tx: Tx, account_id: AccountId, prompt_id: str | None) -> list[JobId]:
    if prompt_id is None:
        return await _stopped(tx, statements.INTERRUPT, account_id, ())
    return await _stopped(tx, statements.INTERRUPT_ONE, account_id, (prompt_id,))


async def broken_off(tx: Tx, job_ids: Collection[JobId]) -> dict[JobId, bool | None]:
    rows = await _rows(tx, statements.BROKEN_OFF, {"jobs": list(job_ids)})
    return {JobId(job_id): whether for job_id, whether in rows}


async def drop(tx: Tx, account_id: AccountId, prompt_ids: Sequence[str] | None) -> list[JobId]:
    if prompt_ids is not None:
        return await _stopped(tx, statements.DROP_SOME, account_id, prompt_ids)
    dropped: list[JobId] = []
    while some := await _stopped(tx, statements.DROP, account_id, ()):
        dropped += some
    return dropped


async def _stopped(
    tx: Tx, statement: LiteralString, account_id: AccountId, prompt_ids: Sequence[str]
) -> list[JobId]:
    rows = await _rows(tx, statement, {"account": account_id, "prompts": _uuids(prompt_ids)})
    return [JobId(row[0]) for row in rows]


def _uuids(prompt_ids: Sequence[str]) -> list[Any]:
    """A text that is no id names nothing."""
    return [value for text in prompt_ids if (value := parse_uuid(text)) is not None]


async def _rows(tx: Tx, statement: LiteralString, values: Mapping[str, Any]) -> list[tuple[Any, ...]]:
    return await (await tx.execute(statement, values)).fetchall()


def _all(rows: Sequence[tuple[Any, ...]]) -> list[Entry]:
    entry_of = _reader()
    return [entry_of(row) for row in rows if row[2] is not None]


def _reader() -> Callable[[Sequence[Any]], Entry]:
    """Reads the rows of one answer, in which one graph may stand many times."""
    graphs: dict[str, Written] = {}

    def read(row: Sequence[Any]) -> Entry:
        _, text, prompt_id, number, in_history, client_id, extra_data, outputs, shown, *rest = row
        made, messages, meta, *columns = rest
        job = job_of(columns)
        prompt = None if extra_data is None else Prompt(client_id, Written(extra_data), tuple(outputs), shown)
        graph = None if text is None else graphs.setdefault(text, Written(text))
        return Entry(
            job=job,
            prompt_id=prompt_id,
            number=_number(number, job.position),
            prompt=prompt,
            graph=None if graph is None else _as_written(graph, prompt),
            report=None if made is None else Report(made, tuple((event, data) for event, data in messages), meta),
            in_history=bool(in_history),
        )

    return read


def _number(number: float | None, position: int) -> float:
    """Those that the client did not choose are whole."""
    if number is None:
        return position
    return -position if number == -position else number


def _as_written(graph: Mapping[str, Any], prompt: Prompt | None) -> Mapping[str, Any]:
    if prompt is None or not prompt.shown:
        return graph
    written = {
        node_id: {**graph[node_id], "inputs": {**graph[node_id]["inputs"], **inputs}}
        for node_id, inputs in prompt.shown.items()
        if node_id in graph
    }
    return {**graph, **written}
