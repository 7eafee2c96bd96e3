"""Files that a job of an account made, without a run: what is under test is how they are found."""

from atelier.assets import service as assets
from atelier.comfy.output_names import shown_name
from atelier.kit.database import Database
from atelier.kit.ids import AccountId, JobId, new_uuid
from atelier.storage.model import Storage

_JOB = """
INSERT INTO jobs (id, account_id, dialect, graph_digest, requirement_id, shape, wait_until, keep_until, state,
                  finished_at)
VALUES (%s, %s, 'test', '', 0, '', now(), now() + interval '1 day', 'succeeded', now()) RETURNING position
"""


async def produce(
    database: Database,
    storage: Storage,
    account_id: AccountId,
    name: str,
    content: bytes,
    *,
    subfolder: str = "",
    temporary: bool = False,
) -> str:
    """The name that its clients are shown."""
    job_id, asset_id = JobId(new_uuid()), new_uuid()
    received = await assets.receive_bytes(database, storage, content)
    async with database.transaction() as tx:
        row = await (await tx.execute(_JOB, (job_id, account_id))).fetchone()
        await tx.execute(
            "INSERT INTO assets (id, account_id, hash, content_type, job_id) VALUES (%s, %s, %s, %s, %s)",
            (asset_id, account_id, received.hash, received.content_type, job_id),
        )
        await tx.execute(
            """INSERT INTO outputs (asset_id, job_id, attempt, ordinal, node_id, name, kind, temporary, subfolder)
               VALUES (%s, %s, 1, 1, '9', %s, 'image', %s, %s)""",
            (asset_id, job_id, name, temporary, subfolder),
        )
    assert row is not None
    return shown_name(name, row[0])
