"""The SQL of thumbnails: one row for each content and size, whoever makes it, names the bytes of the small one."""

from atelier.assets.model import Blob, Digest, Thumbnail
from atelier.kit.database import Tx

_FIND = """
SELECT b.hash, b.generation, b.size, b.content_type, t.width, t.height
FROM thumbnails t JOIN blobs b ON b.hash = t.thumb_hash WHERE t.hash = %s AND t.size = %s
"""

# The row of the large one is locked against its removal, which would take this row away with it.
_PUT = """
WITH whole AS (SELECT hash FROM blobs WHERE hash = %(hash)s FOR KEY SHARE)
INSERT INTO thumbnails (hash, size, thumb_hash, width, height)
SELECT hash, %(size)s, %(thumb)s, %(width)s, %(height)s FROM whole
ON CONFLICT (hash, size) DO NOTHING
"""


async def find(tx: Tx, digest: Digest, size: int) -> Thumbnail | None:
    """The thumbnail of these bytes; `size` in pixels of the longer side."""
    row = await (await tx.execute(_FIND, (digest, size))).fetchone()
    return Thumbnail(Blob(Digest(bytes(row[0])), row[1], row[2], row[3]), row[4], row[5]) if row else None


async def put(tx: Tx, digest: Digest, size: int, made: Thumbnail) -> bool:
    """False, and nothing written, where there is one already or the large one is gone. Claim its blob first."""
    rows = await tx.execute(
        _PUT,
        {
            "hash": digest,
            "size": size,
            "thumb": made.blob.hash,
            "width": made.width,
            "height": made.height,
        },
    )
    return rows.rowcount == 1
