"""What exists only while a job runs: progress, previews and who watches. Last value only, lost without harm."""

from collections.abc import Sequence
from typing import Any

from psycopg.types.json import Jsonb

from atelier.jobs.model import Preview
from atelier.kit.database import Tx
from atelier.kit.ids import JobId

_PROGRESS = """
INSERT INTO job_progress (job_id, seq, body)
SELECT * FROM unnest(%s::uuid[], %s::bigint[], %s::jsonb[])
ON CONFLICT (job_id) DO UPDATE SET seq = excluded.seq, body = excluded.body || jsonb_build_object(
    'value', greatest((job_progress.body ->> 'value')::float8, (excluded.body ->> 'value')::float8))
"""

_PREVIEW = """
INSERT INTO job_previews (job_id, seq, node_id, content_type, body) VALUES (%s, %s, %s, %s, %s)
ON CONFLICT (job_id) DO UPDATE
SET seq = excluded.seq, node_id = excluded.node_id, content_type = excluded.content_type, body = excluded.body
"""

_WATCH = """
INSERT INTO job_watches (job_id, until) VALUES (%s, now() + make_interval(secs => %s))
ON CONFLICT (job_id) DO UPDATE SET until = greatest(job_watches.until, excluded.until)
"""


async def save_progress(tx: Tx, rows: Sequence[tuple[JobId, int, dict[str, Any]]]) -> None:
    await tx.execute(
        _PROGRESS, ([row[0] for row in rows], [row[1] for row in rows], [Jsonb(row[2]) for row in rows])
    )


async def save_preview(tx: Tx, job_id: JobId, preview: Preview) -> None:
    await tx.execute(_PREVIEW, (job_id, preview.seq, preview.node_id, preview.content_type, preview.body))


async def watch(tx: Tx, job_id: JobId, seconds: float) -> None:
    """Somebody looks at this job's previews for the next `seconds`."""
    await tx.execute(_WATCH, (job_id, seconds))


async def watched(tx: Tx, job_ids: Sequence[JobId]) -> set[JobId]:
    rows = await tx.execute(
        "SELECT job_id FROM job_watches WHERE job_id = ANY(%s) AND until > now()", (list(job_ids),)
    )
    return {JobId(row[0]) for row in await rows.fetchall()}
