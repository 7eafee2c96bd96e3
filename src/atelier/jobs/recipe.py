"""What a job was made of, and what its files become when it ends; values only."""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from atelier.assets.pictures.model import Metadata, PictureFormat

__all__ = ["Finish", "Metadata", "PictureFormat", "Recipe", "Webhook"]


@dataclass(frozen=True, slots=True)
class Finish:
    """What a job's files become. `quality` 1-100; `nodes`: whose files are the result (empty: all that are saved).

    `said` is what KEEP writes: names to JSON values (workflow, version, params, seed).
    """

    format: PictureFormat = PictureFormat.ORIGINAL
    quality: int = 80
    metadata: Metadata = Metadata.KEEP
    nodes: tuple[str, ...] = ()
    said: Mapping[str, Any] = field(default_factory=dict[str, Any])

    def as_json(self) -> dict[str, Any]:
        return {
            "format": self.format,
            "quality": self.quality,
            "metadata": self.metadata,
            "nodes": list(self.nodes),
            "said": dict(self.said),
        }

    @staticmethod
    def from_json(document: Mapping[str, Any]) -> "Finish":
        return Finish(
            PictureFormat(document["format"]),
            document["quality"],
            Metadata(document["metadata"]),
            tuple(document["nodes"]),
            document["said"],
        )


@dataclass(frozen=True, slots=True)
class Webhook:
    """Where one job or batch is told of. `events` empty: all that end it. `secret` None: the account's own."""

    url: str
    events: tuple[str, ...] = ()
    secret: str | None = None

    def as_json(self) -> dict[str, Any]:
        return {"url": self.url, "events": list(self.events), "secret": self.secret}


@dataclass(frozen=True, slots=True)
class Recipe:
    """What a job was made of: one revision of a workflow, every parameter as it was used, the seed that was drawn.

    `workflow` is the id that people know, `workflow_key` the row's. `cache_key` (blake3) names what it makes: None
    when it must not be given again. `leader_id`: the job that makes the same just now, whose files this one takes.
    """

    workflow: str
    workflow_key: int
    revision: int
    version: str
    params: Mapping[str, Any] = field(default_factory=dict[str, Any])
    seed: int | None = None
    finish: Finish | None = None
    batch_id: uuid.UUID | None = None
    batch_index: int | None = None
    cache_key: bytes | None = None
    cached: bool = False
    leader_id: uuid.UUID | None = None
    webhook: Webhook | None = None
