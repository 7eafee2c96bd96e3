"""What jobs were made of: written by the statement that accepts a job, read with the job or with many."""

import uuid
from collections.abc import Mapping, Sequence
from typing import Any, LiteralString

from psycopg.types.json import Jsonb

from atelier.jobs.recipe import Finish, Recipe, Webhook
from atelier.kit.database import Tx
from atelier.kit.ids import AccountId, JobId

WRITTEN: LiteralString = """
, recipe AS (
    INSERT INTO job_recipes (job_id, account_id, workflow_key, revision, version, params, seed, finish,
                             batch_index, cache_key, cached, leader_id, webhook)
    SELECT id, %(account)s, %(workflow_key)s, %(revision)s, %(version)s, %(params)s, %(seed)s, %(finish)s,
           %(batch_index)s, %(cache_key)s, %(cached)s, %(leader)s, %(webhook)s
    FROM job
)"""
"""A part of the statement that writes `job`; `values` are what it needs beside the job's own."""

# Of each job by its primary key; LIMIT 1 where at most one row can be, so that no plan reads all of them to join.
_OF_JOBS = """
SELECT r.job_id, j.workflow, r.workflow_key, r.revision, r.version, r.params, r.seed, r.finish, j.batch_id,
       r.batch_index, r.cache_key, r.cached, r.leader_id, r.webhook
FROM unnest(%(jobs)s::uuid[]) AS asked(id)
CROSS JOIN LATERAL (SELECT * FROM job_recipes WHERE job_id = asked.id LIMIT 1) r
CROSS JOIN LATERAL (
    SELECT workflow, batch_id FROM jobs WHERE id = asked.id AND (account_id = %(account)s) IS TRUE LIMIT 1) j
"""


def values(recipe: Recipe) -> dict[str, Any]:
    """What the statement needs of the recipe."""
    return {
        "workflow": recipe.workflow,
        "batch": recipe.batch_id,
        "workflow_key": recipe.workflow_key,
        "revision": recipe.revision,
        "version": recipe.version,
        "params": Jsonb(dict(recipe.params)),
        "seed": recipe.seed,
        "finish": Jsonb(recipe.finish.as_json()) if recipe.finish else None,
        "batch_index": recipe.batch_index,
        "cache_key": recipe.cache_key,
        "cached": recipe.cached,
        "leader": recipe.leader_id,
        "webhook": Jsonb(recipe.webhook.as_json()) if recipe.webhook else None,
    }


async def recipe_of(tx: Tx, account_id: AccountId, job_id: JobId) -> Recipe | None:
    """What the account's job was made of; None for one that was not made of a workflow, or that is not there."""
    return (await recipes_of(tx, account_id, [job_id])).get(job_id)


async def recipes_of(tx: Tx, account_id: AccountId, job_ids: Sequence[JobId]) -> dict[JobId, Recipe]:
    """Of those of the account's jobs that were made of a workflow."""
    rows = await tx.execute(_OF_JOBS, {"jobs": list(job_ids), "account": account_id})
    return {JobId(row[0]): _recipe(row) for row in await rows.fetchall()}


async def held_for(tx: Tx, job_id: JobId) -> int:
    """What was set aside for the job, in milli-credits. The caller has checked whose job it is."""
    row = await (await tx.execute("SELECT amount FROM holds WHERE job_id = %s", (job_id,))).fetchone()
    return int(row[0]) if row else 0


async def price_of(tx: Tx, workflow_key: int, revision: int) -> int:
    """What one run of this revision costs, in whole credits; 0 where it is not kept any more."""
    rows = await tx.execute(
        "SELECT (manifest ->> 'price')::bigint FROM workflow_versions WHERE workflow_key = %s AND revision = %s",
        (workflow_key, revision),
    )
    row = await rows.fetchone()
    return int(row[0] or 0) if row else 0


def _recipe(row: Sequence[Any]) -> Recipe:
    leader: uuid.UUID | None = row[12]
    return Recipe(
        workflow=row[1],
        workflow_key=row[2],
        revision=row[3],
        version=row[4],
        params=row[5],
        seed=None if row[6] is None else int(row[6]),
        finish=Finish.from_json(row[7]) if row[7] else None,
        batch_id=row[8],
        batch_index=row[9],
        cache_key=bytes(row[10]) if row[10] is not None else None,
        cached=row[11],
        leader_id=leader,
        webhook=_webhook(row[13]),
    )


def _webhook(said: Mapping[str, Any] | None) -> Webhook | None:
    return Webhook(said["url"], tuple(said["events"]), said["secret"]) if said else None
