"""What a request to make something says, and what it is told when it cannot be; values only."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from atelier.jobs.model import IdempotencyKey
from atelier.jobs.recipe import Metadata, PictureFormat, Webhook
from atelier.kit.errors import Kind, NotFound, Refusal

DIALECT = "generate"


@dataclass(frozen=True, slots=True)
class Wish:
    """How pictures are to be delivered; None: as the workflow or the installation says. `quality` 1-100."""

    format: PictureFormat | None = None
    quality: int | None = None
    metadata: Metadata | None = None


@dataclass(frozen=True, slots=True)
class Asked:
    """One run of a workflow, as its client said it.

    `version`: a revision's number, the author's word for one, or None for the current one. `beside`: what was said
    by the common names (`prompt`, `seed`, `input_image`, …), `params` by those of the workflow's own parameters.
    `shared`: everybody's workflow is meant, and its draft too, even where the caller has one of that id.
    """

    workflow_id: str
    version: str | int | None = None
    beside: Mapping[str, Any] = field(default_factory=dict[str, Any])
    params: Mapping[str, Any] = field(default_factory=dict[str, Any])
    wish: Wish = field(default_factory=Wish)
    webhook: Webhook | None = None
    metadata: Mapping[str, str] = field(default_factory=dict[str, str])
    idempotency: IdempotencyKey | None = None
    priority: int | None = None
    shared: bool = False


class NoSuchCategory(NotFound):
    """No workflow does what was asked for."""

    code: ClassVar[str] = "workflow_not_found"


class CharactersUnavailable(Refusal):
    """A picture without the character that was asked for would be charged and useless."""

    kind: ClassVar[Kind] = Kind.UNPROCESSABLE
    code: ClassVar[str] = "characters_unavailable"
