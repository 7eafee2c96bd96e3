"""Claiming: what waits at the front of each requirement set, and the one statement that takes it.

The lease's row is locked FOR SHARE in the claim, so a take-over (which updates it) comes wholly before or after.
All leases are locked before the first job: to count them, `held` must be read to its end.
"""

import uuid
from collections.abc import Collection, Sequence

from atelier.jobs.model import Claim, Head, Wish
from atelier.kit.database import Tx
from atelier.kit.ids import DispatcherId, JobId, ServerId

_HEADS = """
WITH RECURSIVE waiting AS (
    (SELECT requirement_id FROM jobs WHERE state = 'queued' ORDER BY requirement_id LIMIT 1)
    UNION ALL
    SELECT (SELECT j.requirement_id FROM jobs j WHERE j.state = 'queued' AND j.requirement_id > w.requirement_id
            ORDER BY j.requirement_id LIMIT 1)
    FROM waiting w WHERE w.requirement_id IS NOT NULL
)
SELECT h.* FROM waiting w CROSS JOIN LATERAL (
    SELECT j.id, j.attempt, j.requirement_id, j.lane, j.priority, j.position, j.account_id, j.shape
    FROM jobs j
    WHERE j.state = 'queued' AND j.requirement_id = w.requirement_id AND j.not_before <= now()
    ORDER BY j.priority DESC, j.position LIMIT %(each)s
) h
WHERE w.requirement_id IS NOT NULL AND NOT w.requirement_id = ANY(%(refused)s::bigint[])
ORDER BY h.priority DESC, h.position LIMIT %(most)s
"""

_CLAIM = """
WITH wish AS (
    SELECT * FROM unnest(%(jobs)s::uuid[], %(numbers)s::int[], %(prompts)s::uuid[], %(servers)s::text[],
                         %(fences)s::bigint[]) AS w(job_id, number, prompt_id, server_id, fence)
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
              j.priority, j.secrets, j.requirement_id, j.end_user, j.run_timeout
), made AS (
    INSERT INTO attempts (job_id, number, prompt_id, server_id, fence)
    SELECT id, number, prompt_id, server_id, fence FROM taken
)
SELECT t.id, t.account_id, t.number, t.prompt_id, t.server_id, t.fence, g.body, t.shape, t.lane, t.priority,
       t.secrets, t.requirement_id, false, 'claimed', t.end_user, t.run_timeout
FROM taken t JOIN graphs g ON g.digest = t.graph_digest
"""

_LIVE = """
SELECT j.id, j.account_id, a.number, a.prompt_id, a.server_id, a.fence, g.body, j.shape, j.lane, j.priority,
       j.secrets, j.requirement_id, j.state = 'canceling', a.state, j.end_user, j.run_timeout,
       coalesce(extract(epoch FROM clock_timestamp() - a.started_at), 0)::float8
FROM attempts a JOIN jobs j ON j.id = a.job_id JOIN graphs g ON g.digest = j.graph_digest
WHERE a.server_id = %s AND a.fence = %s AND a.state <> 'ended'
ORDER BY a.claimed_at
"""


async def heads(tx: Tx, *, refused: Collection[int], each: int, most: int) -> list[Head]:
    """The first `each` jobs of every waiting requirement set that is not in `refused`, at most `most` in all."""
    rows = await tx.execute(_HEADS, {"refused": list(refused), "each": each, "most": most})
    return [Head(*row) for row in await rows.fetchall()]


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
        },
    )
    return [Claim(*row) for row in await rows.fetchall()]


async def live(tx: Tx, server_id: ServerId, fence: int) -> list[Claim]:
    """The attempts that live on this server under this fence, oldest first."""
    rows = await tx.execute(_LIVE, (server_id, fence))
    return [Claim(*row) for row in await rows.fetchall()]


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
