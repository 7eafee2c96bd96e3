"""Claiming: the one statement that takes jobs, and what their parties are charged for them.

The lease's row is locked FOR SHARE in the claim, so a take-over (which updates it) comes wholly before or after.
All leases are locked before the first job: to count them, `held` must be read to its end. Shares come last, in one
order everywhere, and nobody who holds one waits for anything else.
"""

import dataclasses
import uuid
from collections.abc import Collection, Sequence
from typing import Any

from atelier.jobs.model import Claim, Limits, Wish
from atelier.jobs.prompt import Prompt, Told
from atelier.jobs.recipe import Finish
from atelier.kit.database import Tx
from atelier.kit.ids import DispatcherId, JobId, ServerId

# LIMIT 1 where at most one row can be: without it a plan may read all prompts to join them.
_PROMPT = """
LEFT JOIN LATERAL (
    SELECT client_id, extra_data, outputs, shown FROM native_prompts WHERE job_id = {job} LIMIT 1
) p ON true
"""

_FINISH = """
LEFT JOIN LATERAL (SELECT finish FROM job_recipes WHERE job_id = {job} LIMIT 1) r ON true
"""

_CLAIM = f"""
WITH wish AS (
    SELECT * FROM unnest(%(jobs)s::uuid[], %(numbers)s::int[], %(prompts)s::uuid[], %(servers)s::text[],
                         %(fences)s::bigint[], %(costs)s::float8[], %(bases)s::float8[])
             AS w(job_id, number, prompt_id, server_id, fence, cost, base)
), held AS (
    SELECT l.server_id, l.fence FROM leases l
    WHERE l.server_id = ANY(%(servers)s::text[]) AND l.dispatcher_id = %(me)s
      AND EXISTS (SELECT 1 FROM dispatchers d WHERE d.id = %(me)s AND d.expires_at > clock_timestamp())
    ORDER BY l.server_id FOR SHARE
), picked AS (
    SELECT j.id FROM jobs j JOIN wish w ON w.job_id = j.id JOIN held h USING (server_id, fence)
    WHERE j.state = 'queued' AND j.attempt = w.number - 1 AND (SELECT count(*) FROM held) > 0
    FOR UPDATE OF j SKIP LOCKED
), taken AS (
    UPDATE jobs j SET state = 'claimed', attempt = w.number
    FROM wish w, picked p WHERE j.id = p.id AND w.job_id = j.id
    RETURNING j.id, j.account_id, w.number, w.prompt_id, w.server_id, w.fence, j.graph_digest, j.shape, j.lane,
              j.priority, j.secrets, j.requirement_id, j.end_user, j.run_timeout, w.cost, w.base,
              j.native_prompt_id, j.position, j.started_at IS NOT NULL AS began
), made AS (
    INSERT INTO attempts (job_id, number, prompt_id, server_id, fence)
    SELECT id, number, prompt_id, server_id, fence FROM taken
), charged AS (
    INSERT INTO shares (priority, account_id, end_user, virtual_time, started)
    SELECT priority, account_id, end_user, max(base) + sum(cost), max(base) FROM taken
    GROUP BY priority, account_id, end_user ORDER BY priority, account_id, end_user
    ON CONFLICT (priority, account_id, end_user) DO UPDATE SET
        started = greatest(shares.virtual_time, excluded.started), updated_at = now(),
        virtual_time = greatest(shares.virtual_time, excluded.started)
                       + (excluded.virtual_time - excluded.started)
)
SELECT t.id, t.account_id, t.number, t.prompt_id, t.server_id, t.fence, g.body, t.shape, t.lane, t.priority,
       t.secrets, t.requirement_id, false, 'claimed', t.end_user, t.run_timeout, 0,
       coalesce(t.native_prompt_id, t.id)::text, t.position, t.began, p.*, r.finish
FROM taken t JOIN graphs g ON g.digest = t.graph_digest {_PROMPT.format(job="t.id")} {_FINISH.format(job="t.id")}
"""  # noqa: S608 - fixed columns

# One lock for the whole fleet where its limit is in force, one per party that has one; in one order everywhere.
_LOCK_LIMITS = """
SELECT pg_advisory_xact_lock(kind, who) FROM (
    SELECT DISTINCT kind, who FROM (
        SELECT 20001 AS kind, 0 AS who WHERE %(in_all)s > 0
        UNION ALL
        SELECT 20002, hashtext(j.account_id::text || '/' || j.end_user) FROM jobs j
        LEFT JOIN LATERAL (SELECT max_running FROM accounts WHERE id = j.account_id) a ON true
        WHERE j.id = ANY(%(jobs)s::uuid[]) AND coalesce(a.max_running, %(per_account)s) > 0) AS limited
    ORDER BY kind, who OFFSET 0) AS ordered
"""

# Counted by a statement of its own behind the locks, so that it sees what was claimed before they were ours.
_WITHIN = """
WITH on_servers AS MATERIALIZED (
    SELECT account_id, end_user, count(*) AS jobs FROM jobs
    WHERE state IN ('claimed', 'running', 'canceling') GROUP BY account_id, end_user
), asked AS MATERIALIZED (
    SELECT j.id, w.place, nullif(coalesce(a.max_running, %(per_account)s), 0) AS most, coalesce(o.jobs, 0) AS jobs,
           row_number() OVER (PARTITION BY j.account_id, j.end_user ORDER BY w.place) AS of_party
    FROM unnest(%(jobs)s::uuid[]) WITH ORDINALITY AS w(id, place) JOIN jobs j ON j.id = w.id
    LEFT JOIN LATERAL (SELECT max_running FROM accounts WHERE id = j.account_id) a ON true
    LEFT JOIN on_servers o ON o.account_id = j.account_id AND o.end_user = j.end_user
    WHERE j.state = 'queued'
)
SELECT id FROM asked WHERE most IS NULL OR jobs + of_party <= most ORDER BY place
LIMIT CASE WHEN %(in_all)s > 0
           THEN greatest(%(in_all)s - (SELECT coalesce(sum(jobs), 0) FROM on_servers), 0) END
"""

_LIVE = f"""
SELECT j.id, j.account_id, a.number, a.prompt_id, a.server_id, a.fence, g.body, j.shape, j.lane, j.priority,
       j.secrets, j.requirement_id, j.state = 'canceling', a.state, j.end_user, j.run_timeout,
       coalesce(extract(epoch FROM clock_timestamp() - a.started_at), 0)::float8,
       coalesce(j.native_prompt_id, j.id)::text, j.position,
       j.started_at IS NOT NULL AND (a.started_at IS NULL OR j.started_at < a.started_at), p.*, r.finish
FROM attempts a JOIN jobs j ON j.id = a.job_id JOIN graphs g ON g.digest = j.graph_digest
{_PROMPT.format(job="j.id")} {_FINISH.format(job="j.id")}
WHERE a.server_id = %s AND a.fence = %s AND a.state <> 'ended'
ORDER BY a.claimed_at
"""  # noqa: S608 - fixed columns

_FORGET_SHARES = """
DELETE FROM shares s WHERE updated_at < now() - interval '30 days'
AND started < (SELECT max(c.started) FROM shares c WHERE c.priority = s.priority)
"""

_LATELY = """
SELECT extract(epoch FROM now() - claimed_at)::float8 FROM attempts
WHERE server_id = %s AND claimed_at > now() - interval '1 minute' ORDER BY claimed_at DESC
"""


async def claim(tx: Tx, dispatcher: DispatcherId, wishes: Sequence[Wish]) -> list[Claim]:
    """Take what is still there to take. A wish is refused silently when its job, lease or fence has moved on."""
    rows = await tx.execute(
        _CLAIM,
        {
            "me": dispatcher,
            "jobs": [wish.job_id for wish in wishes],
            "numbers": [wish.number for wish in wishes],
            "prompts": [wish.prompt_id for wish in wishes],
            "servers": [wish.server_id for wish in wishes],
            "fences": [wish.fence for wish in wishes],
            "costs": [wish.cost for wish in wishes],
            "bases": [wish.base for wish in wishes],
        },
    )
    return [_claim(row) for row in await rows.fetchall()]


async def claim_within(tx: Tx, dispatcher: DispatcherId, wishes: Sequence[Wish], limits: Limits) -> list[Claim]:
    """The same, as far as running limits allow, which hold exactly whoever claims at the same time.

    Earlier wishes come first. `tx` must be a transaction: its locks keep others from counting until it has ended.
    """
    given = {"jobs": [wish.job_id for wish in wishes], "in_all": limits.in_all, "per_account": limits.per_account}
    await tx.execute(_LOCK_LIMITS, given)
    rows = await tx.execute(_WITHIN, given)
    allowed = {JobId(row[0]) for row in await rows.fetchall()}
    within = [wish for wish in wishes if wish.job_id in allowed]
    return await claim(tx, dispatcher, within) if within else []


async def live(tx: Tx, server_id: ServerId, fence: int) -> list[Claim]:
    """The attempts that live on this server under this fence, oldest first."""
    rows = await tx.execute(_LIVE, (server_id, fence))
    return [_claim(row) for row in await rows.fetchall()]


async def dead_prompts(tx: Tx, prompt_ids: Collection[uuid.UUID]) -> set[uuid.UUID]:
    """Which of these prompts are ours and have no live attempt any more."""
    rows = await tx.execute(
        "SELECT prompt_id FROM attempts WHERE prompt_id = ANY(%s) AND state = 'ended'", (list(prompt_ids),)
    )
    return {row[0] for row in await rows.fetchall()}


async def canceling(tx: Tx, job_ids: Collection[JobId]) -> set[JobId]:
    """Which of these jobs are to be canceled."""
    rows = await tx.execute("SELECT id FROM jobs WHERE id = ANY(%s) AND state = 'canceling'", (list(job_ids),))
    return {JobId(row[0]) for row in await rows.fetchall()}


async def forget_shares(tx: Tx) -> int:
    """Shares of parties that were given nothing for a month are forgotten: they would begin at the clock."""
    rows = await tx.execute(_FORGET_SHARES)
    return rows.rowcount


async def lately(tx: Tx, server_id: ServerId) -> list[float]:
    """How many seconds ago each job of the last minute was claimed for this server, newest first."""
    rows = await tx.execute(_LATELY, (server_id,))
    return [row[0] for row in await rows.fetchall()]


def _claim(row: tuple[Any, ...]) -> Claim:
    prompt_id, position, began, client_id, extra_data, outputs, shown, finish = row[17:]
    claim = Claim(*row[:17])
    if finish is not None:
        claim = dataclasses.replace(claim, finish=Finish.from_json(finish))
    if extra_data is None:
        return claim
    prompt = Prompt(client_id, extra_data, tuple(outputs), shown)
    return dataclasses.replace(claim, told=Told(prompt_id, position, prompt, began))
