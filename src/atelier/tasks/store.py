"""Procrastinate's tables, as far as we write them ourselves: deferring, ending by the holder, taking over.

A claim of a task is named by its worker and its number of attempts; both change when it is taken over, so a
statement that asks for both is refused to everybody but the holder.
"""

import datetime as dt
from dataclasses import dataclass
from typing import Any

from psycopg.types.json import Jsonb

from atelier.kit.database import Tx

TOPIC = "tasks"
"""The wake-up to publish after the commit of a transaction that deferred something; without it, it waits 1 s."""


@dataclass(frozen=True, slots=True)
class Claim:
    task_id: int
    worker_id: int
    attempts: int


@dataclass(frozen=True, slots=True)
class TakenOver:
    """How many tasks of dead workers wait again, and how many were given up."""

    waiting: int
    given_up: int


async def defer(tx: Tx, task: str, key: str, /, *, after: float = 0.0, **arguments: Any) -> bool:
    """Run `task` with `arguments` (JSON) at least `after` seconds after this transaction is committed.

    `key` names the effect: while a task with this key waits, another one is not added (False), and two with the
    same key never run at the same time.
    """
    name = f"{task}:{key}"
    added = await tx.execute(
        "INSERT INTO procrastinate_jobs (queue_name, task_name, lock, queueing_lock, args, scheduled_at)"
        " VALUES ('default', %s, %s, %s, %s, now() + make_interval(secs => nullif(%s, 0)))"
        " ON CONFLICT (queueing_lock) WHERE status = 'todo' DO NOTHING",
        (task, name, name, Jsonb(arguments), after),
    )
    return added.rowcount == 1


async def end(tx: Tx, claim: Claim, status: str, *, delete: bool) -> bool:
    """End a task as `succeeded`, `failed` or `aborted`. False: it is not ours any more, and nothing changed."""
    if delete:
        ended = await tx.execute(
            "DELETE FROM procrastinate_jobs"
            " WHERE id = %s AND worker_id = %s AND attempts = %s AND status = 'doing'",
            (claim.task_id, claim.worker_id, claim.attempts),
        )
    else:
        ended = await tx.execute(
            "UPDATE procrastinate_jobs SET status = %s, attempts = attempts + 1, abort_requested = false"
            " WHERE id = %s AND worker_id = %s AND attempts = %s AND status = 'doing'",
            (status, claim.task_id, claim.worker_id, claim.attempts),
        )
    return ended.rowcount == 1


async def try_again(tx: Tx, claim: Claim, at: dt.datetime | None) -> bool:
    """Let a task wait for its next attempt, until `at`. False: it is not ours any more, and nothing changed.

    It gives up its place as the only waiting one of its key, because another may have been added meanwhile.
    """
    waits = await tx.execute(
        "UPDATE procrastinate_jobs SET status = 'todo', attempts = attempts + 1, abort_requested = false,"
        " queueing_lock = NULL, worker_id = NULL, scheduled_at = %s"
        " WHERE id = %s AND worker_id = %s AND attempts = %s AND status = 'doing'",
        (at, claim.task_id, claim.worker_id, claim.attempts),
    )
    return waits.rowcount == 1


async def take_over(tx: Tx, *, silent_for: float, tries: int) -> TakenOver:
    """Let the tasks of workers that were silent for so many seconds wait again, `tries` times at most.

    The worker is forgotten first: one that was only frozen can neither end its tasks nor fetch new ones.
    """
    await tx.execute(
        "DELETE FROM procrastinate_workers WHERE last_heartbeat < now() - make_interval(secs => %s)", (silent_for,)
    )
    taken = await tx.execute(
        "UPDATE procrastinate_jobs SET attempts = attempts + 1, abort_requested = false, queueing_lock = NULL,"
        " status = (CASE WHEN attempts + 1 < %s THEN 'todo' ELSE 'failed' END)::procrastinate_job_status,"
        " scheduled_at = now() WHERE status = 'doing' AND worker_id IS NULL RETURNING status::text",
        (tries,),
    )
    statuses = [status for (status,) in await taken.fetchall()]
    return TakenOver(waiting=statuses.count("todo"), given_up=statuses.count("failed"))


async def beat(tx: Tx, worker_id: int) -> bool:
    """Say that a worker lives. False: it was silent for too long and is forgotten."""
    beaten = await tx.execute(
        "UPDATE procrastinate_workers SET last_heartbeat = now() WHERE id = %s", (worker_id,)
    )
    return beaten.rowcount == 1
