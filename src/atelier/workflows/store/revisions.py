"""The revisions of workflows: written once, and read as workflows again."""

import datetime as dt
import hashlib
import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from blake3 import blake3

from atelier.comfy.graph import Graph, canonical
from atelier.kit.database import Tx
from atelier.kit.storable import json_text
from atelier.workflows import manifest as manifests
from atelier.workflows.model import Manifest, Workflow
from atelier.workflows.store.heads import Head

_COLUMNS = "revision, manifest, graph, digest, draft, cover IS NOT NULL, created_at"


@dataclass(frozen=True, slots=True)
class NewRevision:
    """What one revision is made of. `cover`: a WebP, PNG or JPEG of at most 2 MB."""

    manifest: Manifest
    graph: Graph
    cover: bytes | None = None

    @property
    def document(self) -> str:
        """The manifest as JSON text."""
        return json_text(manifests.spelled(self.manifest))

    @property
    def digest(self) -> bytes:
        """blake3 of manifest and graph."""
        return blake3(f"{self.document}\n{canonical(self.graph)}".encode()).digest()

    @property
    def cover_digest(self) -> str:
        """Tells covers apart; empty where there is none."""
        return hashlib.md5(self.cover, usedforsecurity=False).hexdigest() if self.cover is not None else ""


@dataclass(frozen=True, slots=True)
class Version:
    """A revision as a list shows it: a thousand of them with all that they hold would fill the memory."""

    key: int
    revision: int
    version: str
    digest: bytes
    draft: bool
    created_at: dt.datetime


@dataclass(frozen=True, slots=True)
class Newest:
    """The last revision of a workflow, without what it holds."""

    revision: int
    digest: bytes
    draft: bool
    cover: bytes | None


async def add(tx: Tx, key: int, revision: int, new: NewRevision, *, draft: bool) -> None:
    await tx.execute(
        "INSERT INTO workflow_versions (workflow_key, revision, version, manifest, graph, digest, draft, cover)"
        " VALUES (%s, %s, %s, %s::json, %s, %s, %s, %s)",
        (
            key,
            revision,
            new.manifest.version,
            new.document,
            canonical(new.graph),
            new.digest,
            draft,
            new.cover,
        ),
    )


async def replace_draft(tx: Tx, key: int, revision: int, new: NewRevision) -> bool:
    """The draft says this from now on; False when the revision is no draft. Without a cover it keeps its own."""
    changed = await tx.execute(
        "UPDATE workflow_versions SET version = %s, manifest = %s::json, graph = %s, digest = %s,"
        " cover = coalesce(%s, cover) WHERE workflow_key = %s AND revision = %s AND draft",
        (new.manifest.version, new.document, canonical(new.graph), new.digest, new.cover, key, revision),
    )
    return changed.rowcount == 1


async def set_cover(tx: Tx, key: int, revision: int, cover: bytes | None) -> None:
    await tx.execute(
        "UPDATE workflow_versions SET cover = %s WHERE workflow_key = %s AND revision = %s", (cover, key, revision)
    )


async def publish(tx: Tx, key: int, revision: int) -> None:
    await tx.execute(
        "UPDATE workflow_versions SET draft = false WHERE workflow_key = %s AND revision = %s", (key, revision)
    )


async def newest(tx: Tx, key: int) -> Newest | None:
    rows = await tx.execute(
        "SELECT revision, digest, draft, cover FROM workflow_versions"
        " WHERE workflow_key = %s ORDER BY revision DESC LIMIT 1",
        (key,),
    )
    row = await rows.fetchone()
    return Newest(row[0], bytes(row[1]), row[2], bytes(row[3]) if row[3] is not None else None) if row else None


async def read(tx: Tx, head: Head, revision: int) -> Workflow | None:
    """Raises InvalidManifest for one that an older Atelier wrote and this one cannot read."""
    rows = await tx.execute(
        f"SELECT {_COLUMNS} FROM workflow_versions WHERE workflow_key = %s AND revision = %s",  # noqa: S608 - constant
        (head.key, revision),
    )
    row = await rows.fetchone()
    return workflow(head, row) if row else None


async def labelled(tx: Tx, head: Head, version: str) -> Workflow | None:
    """The newest published revision that its author calls so."""
    rows = await tx.execute(
        f"SELECT {_COLUMNS} FROM workflow_versions WHERE workflow_key = %s AND version = %s"  # noqa: S608 - constant
        " AND NOT draft ORDER BY revision DESC LIMIT 1",
        (head.key, version),
    )
    row = await rows.fetchone()
    return workflow(head, row) if row else None


async def every(tx: Tx, head: Head, most: int) -> list[Version]:
    """The newest revisions first, drafts among them."""
    rows = await tx.execute(
        "SELECT revision, version, digest, draft, created_at FROM workflow_versions WHERE workflow_key = %s"
        " ORDER BY revision DESC LIMIT %s",
        (head.key, most),
    )
    return [
        Version(head.key, revision, version, bytes(digest), draft, created_at)
        for revision, version, digest, draft, created_at in await rows.fetchall()
    ]


async def currents(tx: Tx, heads: Collection[Head]) -> list[tuple[Head, tuple[Any, ...]]]:
    """The row of the current revision of each, for `workflow`."""
    wanted = {(head.key, head.current): head for head in heads}
    rows = await tx.execute(
        "SELECT workflow_key, revision, manifest, graph, digest, draft, cover IS NOT NULL, created_at"
        " FROM unnest(%s::bigint[], %s::integer[]) AS wanted (k, r)"
        " JOIN workflow_versions ON workflow_key = k AND revision = r",
        ([key for key, _ in wanted], [revision for _, revision in wanted]),
    )
    return [(wanted[row[0], row[1]], row[1:]) for row in await rows.fetchall()]


async def cover(tx: Tx, key: int, revision: int) -> bytes | None:
    rows = await tx.execute(
        "SELECT cover FROM workflow_versions WHERE workflow_key = %s AND revision = %s", (key, revision)
    )
    row = await rows.fetchone()
    return bytes(row[0]) if row and row[0] is not None else None


def workflow(head: Head, row: Sequence[Any]) -> Workflow:
    """Raises InvalidManifest."""
    revision, document, graph, digest, draft, has_cover, created_at = row
    return Workflow(
        key=head.key,
        revision=revision,
        origin=head.origin,
        account_id=head.account_id,
        manifest=manifests.parse(document),
        graph=json.loads(graph),
        digest=bytes(digest),
        draft=draft,
        has_cover=has_cover,
        created_at=created_at,
    )
