"""A blob is bytes stored once under their hash; an asset is an account's record of having them."""

import datetime as dt
import uuid
from dataclasses import dataclass
from typing import NewType

from atelier.kit.ids import AccountId, AssetId, JobId

Digest = NewType("Digest", bytes)
"""32 bytes of BLAKE3."""


@dataclass(frozen=True, slots=True)
class Blob:
    """Stored bytes. A generation is one life of the row: collected and stored again is another generation."""

    hash: Digest
    generation: uuid.UUID
    size: int
    content_type: str

    @property
    def key(self) -> str:
        """Where the storage has the bytes; never used by another generation."""
        name = self.hash.hex()
        return f"blobs/{name[:2]}/{name[2:4]}/{name}-{self.generation.hex[:12]}"


@dataclass(frozen=True, slots=True)
class Received:
    """Bytes that are in the storage now and that no asset names yet; they stay for at least an hour."""

    blob: Blob

    @property
    def hash(self) -> Digest:
        return self.blob.hash

    @property
    def size(self) -> int:
        return self.blob.size

    @property
    def content_type(self) -> str:
        """What the first bytes say, not what the sender said."""
        return self.blob.content_type


@dataclass(frozen=True, slots=True)
class Asset:
    """A record: what `account_id` calls these bytes. `job_id` names the job whose output it is, if any."""

    id: AssetId
    account_id: AccountId
    blob: Blob
    content_type: str
    file_path: str
    tags: tuple[str, ...]
    created_at: dt.datetime
    expires_at: dt.datetime | None
    job_id: JobId | None

    @property
    def hash(self) -> Digest:
        return self.blob.hash

    @property
    def size(self) -> int:
        return self.blob.size


@dataclass(frozen=True, slots=True)
class Draft:
    """A record to be made.

    `content_type` None takes what the bytes say; `expires_at` None keeps it until it is deleted. With an `id` it
    is that very record, made once however often it is asked for.
    """

    account_id: AccountId
    content_type: str | None = None
    file_path: str = ""
    tags: tuple[str, ...] = ()
    expires_at: dt.datetime | None = None
    job_id: JobId | None = None
    id: AssetId | None = None


@dataclass(frozen=True, slots=True)
class Recorded:
    """`created_new` is False where this account had recorded the same bytes under the same path before."""

    asset: Asset
    created_new: bool


@dataclass(frozen=True, slots=True)
class Thumbnail:
    """A small picture of some bytes: where it is, and its size in pixels."""

    blob: Blob
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class Placement:
    """Where a file belongs below a server's input folder; `subfolder` may be empty."""

    subfolder: str
    name: str


@dataclass(frozen=True, slots=True)
class Collected:
    """What one clean-up did: records expired, blobs dropped, keys removed from the storage, leftovers swept."""

    expired: int
    dropped: int
    removed: int
    swept: int
