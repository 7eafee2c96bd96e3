"""A submit is one statement: idempotency key, graph, job, hold, first event and inputs stand or fall together.

There are three of it: of a graph alone, with what a native client said of its prompt, and with what a job of a
workflow was made of. A job has one or none of the two.
"""

from collections.abc import Sequence
from typing import Any

from psycopg.errors import UniqueViolation
from psycopg.types.json import Json, Jsonb

from atelier.jobs.model import Job, JobState, NewJob
from atelier.jobs.prompt import Prompt
from atelier.jobs.store import recipes
from atelier.kit.database import Tx
from atelier.kit.written import text_of

# A graph that is marked for deletion is named again: that takes the mark away or, where the deletion was first,
# puts the graph back (atelier.jobs.store.unnamed). One without a mark is only looked at, its row is not locked.
_STATEMENT = """
WITH {before}key AS (
    INSERT INTO idempotency_keys (account_id, end_user, dialect, key, body_hash, job_id)
    SELECT %(account)s, %(end_user)s, %(dialect)s, %(key)s::text, %(body_hash)s, %(id)s
    WHERE %(key)s::text IS NOT NULL{and_free}
    ON CONFLICT (account_id, end_user, dialect, key) DO UPDATE
        SET body_hash = excluded.body_hash, job_id = excluded.job_id, created_at = now()
        WHERE idempotency_keys.created_at < now() - interval '24 hours'
    RETURNING 1
), graph AS (
    INSERT INTO graphs (digest, body) SELECT %(graph_digest)s, %(graph)s
    WHERE NOT EXISTS (SELECT 1 FROM graphs WHERE digest = %(graph_digest)s AND marked_at IS NULL)
      AND (%(key)s::text IS NULL OR EXISTS (SELECT 1 FROM key)){and_free}
    ON CONFLICT (digest) DO UPDATE SET marked_at = NULL WHERE graphs.marked_at IS NOT NULL
), job AS (
    INSERT INTO jobs (id, account_id, end_user, dialect, native_prompt_id, priority, graph_digest, requirement_id,
                      lane, shape, metadata, secrets, wished_priority, run_timeout, retry_of, wait_until,
                      keep_until, event_seq{columns}
    SELECT %(id)s, %(account)s, %(end_user)s, %(dialect)s, %(native)s, %(priority)s, %(graph_digest)s,
           %(requirement)s, %(lane)s, %(shape)s, %(metadata)s, %(secrets)s, %(wished)s, %(run_timeout)s,
           %(retry_of)s, now() + make_interval(secs => %(queue_ttl)s),
           now() + make_interval(secs => %(retention)s), 1{values}
    WHERE (%(key)s::text IS NULL OR EXISTS (SELECT 1 FROM key)){and_free}
    RETURNING id, created_at, keep_until, position
), hold AS (
    INSERT INTO holds (job_id, account_id, amount) SELECT id, %(account)s, %(price)s FROM job
), event AS (
    INSERT INTO job_events (job_day, job_id, seq, kind, data)
    SELECT (created_at AT TIME ZONE 'UTC')::date, id, 1, 'status', {event} FROM job
), inputs AS (
    INSERT INTO job_inputs (job_id, asset_id)
    SELECT job.id, asset FROM job, unnest(%(inputs)s::uuid[]) AS asset
){behind}
"""

_QUEUED = """'{"state": "queued"}'"""

_SUBMIT = _STATEMENT.format(
    before="",
    and_free="",
    columns=")",
    values="",
    event=_QUEUED,
    behind=" SELECT created_at, keep_until, position, false FROM job",
)

# What waits for the files of another job is not queued.
_SUBMIT_RECIPE = _STATEMENT.format(
    before="",
    and_free="",
    columns=", workflow, batch_id, state)",
    values=", %(workflow)s, %(batch)s, %(state)s",
    event="jsonb_build_object('state', %(state)s::text)",
    behind=recipes.WRITTEN + " SELECT created_at, keep_until, position, false FROM job",  # noqa: S608 - fixed
)

# Of a prompt that has its id already nothing is written, not even its idempotency key.
_SUBMIT_PROMPT = _STATEMENT.format(
    before="""taken AS MATERIALIZED (
    SELECT 1 FROM jobs WHERE native_prompt_id = %(native)s::uuid AND (account_id = %(account)s) IS TRUE
    UNION ALL
    SELECT 1 FROM jobs WHERE id = %(native)s::uuid AND (account_id = %(account)s) IS TRUE
), """,
    and_free=" AND NOT EXISTS (SELECT 1 FROM taken)",
    columns=", position, number) OVERRIDING SYSTEM VALUE",
    values=", place, CASE WHEN %(front)s AND %(number)s::float8 IS NULL THEN -place ELSE %(number)s::float8 END\n"
    "    FROM (SELECT nextval('jobs_position_seq') AS place) AS own",
    event=_QUEUED,
    behind=""", prompt AS (
    INSERT INTO native_prompts (job_id, client_id, extra_data, outputs, shown)
    SELECT id, %(client_id)s, %(extra_data)s, %(outputs)s, %(shown)s FROM job WHERE %(is_prompt)s
)
SELECT created_at, keep_until, position, false FROM job
UNION ALL SELECT NULL, NULL, NULL, true FROM taken LIMIT 1
""",
)


# In one order, so that two batches of the same new graphs never wait for each other.
_GRAPHS = """
INSERT INTO graphs (digest, body)
SELECT digest, body FROM unnest(%(digests)s::bytea[], %(bodies)s::text[]) AS new(digest, body) ORDER BY digest
ON CONFLICT (digest) DO UPDATE SET marked_at = NULL WHERE graphs.marked_at IS NOT NULL
"""

_ONE_PROMPT = "jobs_by_prompt"


class PromptIdTaken(Exception):  # noqa: N818 - the service says in words what it means
    """The account has a job of this prompt id; nothing was written."""


async def submit(tx: Tx, job: NewJob) -> Job | None:
    """Write the job. None, and nothing written, when its idempotency key is taken. Raises PromptIdTaken."""
    if job.recipe is not None:
        row = await (await tx.execute(_SUBMIT_RECIPE, _recipe_values(job))).fetchone()
        return _accepted(job, row) if row else None
    if not _is_native(job):
        row = await (await tx.execute(_SUBMIT, _values(job))).fetchone()
        return _accepted(job, row) if row else None
    try:
        row = await (await tx.execute(_SUBMIT_PROMPT, _values(job) | _prompt_values(job))).fetchone()
    except UniqueViolation as clash:  # it was given the same moment; the whole statement is undone
        if clash.diag.constraint_name == _ONE_PROMPT:
            raise PromptIdTaken from clash
        raise
    if row is not None and row[-1]:
        raise PromptIdTaken
    return _accepted(job, row) if row else None


async def submit_many(tx: Tx, jobs: Sequence[NewJob]) -> list[Job | None]:
    """Write jobs that all have a recipe, in this order and on one way there and back, as `submit` writes one."""
    if not jobs:
        return []
    accepted: list[Job | None] = []
    graphs = {job.graph_digest: job.graph_text for job in jobs}
    async with tx.cursor() as cursor:
        await cursor.execute(_GRAPHS, {"digests": list(graphs), "bodies": list(graphs.values())})
        await cursor.executemany(_SUBMIT_RECIPE, [_recipe_values(job) for job in jobs], returning=True)
        for job in jobs:
            row = await cursor.fetchone()
            accepted.append(_accepted(job, row) if row else None)
            cursor.nextset()
    return accepted


def _is_native(job: NewJob) -> bool:
    return job.prompt is not None or job.front or job.number is not None or job.native_prompt_id is not None


def _values(job: NewJob) -> dict[str, Any]:
    key = job.idempotency
    return {
        "id": job.id,
        "account": job.account_id,
        "end_user": job.end_user,
        "dialect": job.dialect,
        "key": key.key if key else None,
        "body_hash": key.body_hash if key else b"",
        "native": job.native_prompt_id,
        "priority": job.priority,
        "graph": job.graph_text,
        "graph_digest": job.graph_digest,
        "requirement": job.requirement_id,
        "lane": job.lane,
        "shape": job.shape,
        "metadata": Jsonb(dict(job.metadata)),
        "secrets": Jsonb(dict(job.secrets)) if job.secrets else None,
        "wished": job.wished_priority,
        "run_timeout": job.run_timeout,
        "retry_of": job.retry_of,
        "queue_ttl": job.queue_ttl,
        "retention": job.retention,
        "price": job.price,
        "inputs": list(job.inputs),
    }


def _recipe_values(job: NewJob) -> dict[str, Any]:
    """Raises ValueError for a job that a client of the native API told of: the two are never one."""
    if job.recipe is None or _is_native(job):
        raise ValueError("this job has no recipe, or more than a recipe")
    return _values(job) | recipes.values(job.recipe) | {"state": _state(job)}


def _state(job: NewJob) -> JobState:
    return JobState.PREPARING if job.recipe is not None and job.recipe.leader_id else JobState.QUEUED


def _prompt_values(job: NewJob) -> dict[str, Any]:
    prompt = job.prompt or Prompt()
    return {
        "number": job.number,
        "front": job.front,
        "is_prompt": job.prompt is not None,
        "client_id": prompt.client_id,
        "extra_data": Json(prompt.extra_data, dumps=text_of),
        "outputs": list(prompt.outputs),
        "shown": Jsonb({node_id: dict(inputs) for node_id, inputs in prompt.shown.items()}),
    }


def _accepted(job: NewJob, row: tuple[Any, ...]) -> Job:
    created_at, keep_until, position, _ = row
    return Job(
        id=job.id,
        account_id=job.account_id,
        state=_state(job),
        priority=job.priority,
        position=position,
        metadata=job.metadata,
        created_at=created_at,
        started_at=None,
        finished_at=None,
        keep_until=keep_until,
        tries=0,
        event_seq=1,
        error=None,
        outputs=(),
        progress=None,
        wished_priority=job.wished_priority,
        end_user=job.end_user,
        retry_of=job.retry_of,
        workflow=job.recipe.workflow if job.recipe else "",
        batch_id=job.recipe.batch_id if job.recipe else None,
    )
