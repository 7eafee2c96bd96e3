"""What the tables hold of everybody's workflows, to be compared with folders."""

from dataclasses import dataclass

from atelier.kit.database import Tx
from atelier.workflows.model import Origin
from atelier.workflows.store.heads import NOBODY


@dataclass(frozen=True, slots=True)
class Kept:
    """`digest` and `cover` (MD5, empty: none) are those of the newest published revision."""

    id: str
    origin: Origin
    listed: bool
    withdrawn: bool
    digest: bytes
    cover: str


async def shared(tx: Tx) -> list[Kept]:
    """All of them, withdrawn ones too; those without a published revision are left out."""
    rows = await tx.execute(
        "SELECT id, origin, withdrawn_at IS NULL AND current IS NOT NULL, withdrawn_at IS NOT NULL,"
        " digest, md5(cover) FROM workflows JOIN LATERAL (SELECT digest, cover FROM workflow_versions"
        "  WHERE workflow_key = key AND NOT draft ORDER BY revision DESC LIMIT 1) AS newest ON true"
        " WHERE coalesce(account_id, '00000000-0000-0000-0000-000000000000'::uuid) = %s",
        (NOBODY,),
    )
    return [
        Kept(row[0], Origin(row[1]), row[2], row[3], bytes(row[4]), row[5] or "") for row in await rows.fetchall()
    ]
