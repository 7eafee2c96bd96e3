"""A request to make something is JSON or a form with files; either way it is read once, into the same words."""

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeVar

from blake3 import blake3
from pydantic import BeforeValidator, Field
from starlette.requests import Request

from atelier.accounts.model import Caller
from atelier.dialects import asked
from atelier.dialects.auth import Call
from atelier.dialects.comfy_v2.labels import parse_metadata
from atelier.dialects.comfy_v2.submission import parse_end_user, parse_idempotency_key, parse_priority
from atelier.dialects.generate_form import Form, read_form
from atelier.intake.asking import Asked, CharactersUnavailable, Wish
from atelier.intake.inputs import Receipts
from atelier.jobs.model import IdempotencyKey
from atelier.jobs.recipe import Metadata, PictureFormat, Webhook
from atelier.kit.http import bodies
from atelier.kit.ids import parse_uuid
from atelier.webhooks import rules as webhooks
from atelier.webhooks.model import Asked as AskedWebhook

_FILE_SCHEMA: dict[str, Any] = {
    "description": "An asset's id, a data URI, or an http(s) address; `{id}` and `{url}` say which it is.",
    "anyOf": [{"type": "string"}, {"type": "object"}, {"type": "null"}],
}
_TEXT_SCHEMA: dict[str, Any] = {"type": ["string", "null"]}

# What these are is said by the workflow, and so is what is wrong with them.
File = Annotated[Any, Field(json_schema_extra=_FILE_SCHEMA)]
Text = Annotated[Any, Field(json_schema_extra=_TEXT_SCHEMA)]
BESIDE = ("prompt", "negative_prompt", "seed", "input_image", "input_images", "mask")
"""What may be said beside `params`, by the names that all workflows have in common."""

_FILE = re.compile(r"/files/([0-9a-f-]{36})(?:\?.*)?")


def _as_usual(value: object) -> object:
    """What people call a format."""
    return {"jpg": "jpeg", "JPG": "jpeg"}.get(value, value) if isinstance(value, str) else value


class OutputWish(asked.Closed):
    """How pictures are delivered; what is absent is as the workflow or the installation says."""

    format: Annotated[Literal["original", "png", "webp", "jpeg", "avif"] | None, BeforeValidator(_as_usual)] = None
    quality: int | None = Field(default=None, ge=1, le=100)
    metadata: Literal["keep", "anonymise", "strip"] | None = Field(
        default=None, description="What pictures say of themselves in EXIF, XMP and text chunks."
    )


class RequestWebhook(asked.Closed):
    """Where this job alone is told of. Without a `secret` the account's own signs."""

    url: str = Field(min_length=1, max_length=2048, examples=["https://example.com/atelier"])
    events: list[str] = Field(default=[], max_length=20, description="Empty: what ends the job.")
    secret: str | None = Field(default=None, max_length=200)


class Run(asked.Closed):
    """What a run of any workflow may be given. A value of null is not said."""

    version: str | int | None = Field(
        default=None, description="A revision's number or a version; absent: the one that is published now."
    )
    prompt: Text = None
    negative_prompt: Text = None
    seed: Any = Field(default=None, description="-1 draws one.", json_schema_extra={"type": ["integer", "null"]})
    input_image: File = None
    input_images: Any = Field(default=None, json_schema_extra={"type": ["array", "null"], "items": _FILE_SCHEMA})
    mask: File = None
    params: dict[str, Any] = Field(default={}, description="By the names in the workflow's `parameters_schema`.")
    character_id: str | None = Field(default=None, description="Refused with 422 until there are characters.")
    output: OutputWish | None = None
    metadata: dict[str, str] | str | None = Field(default=None, description="Labels of the job, 16 at most.")
    webhook: RequestWebhook | None = None


class Generate(Run):
    """One run of a workflow."""

    workflow_id: str = Field(min_length=1, max_length=200)


class Edit(Run):
    """The same for a purpose; without a workflow it is the installation's for that purpose."""

    workflow_id: str | None = Field(default=None, min_length=1, max_length=200)


Said = TypeVar("Said", bound=Run)


async def read(request: Request, call: Call, model: type[Said], receipts: Receipts) -> tuple[Said, bytes]:
    """The request's words, and what names them. Files of a form are received on the way.

    Raises MalformedBody, BodyTooLarge, InvalidInput, InvalidUpload.
    """
    if not _is_form(request):
        raw = await bodies.read(request, call.services.json_limit)
        return asked.parse(bodies.parse_object(raw), model), blake3(raw).digest()
    form = await read_form(request, call, receipts)
    return asked.parse(_of_form(form), model), blake3(repr(form).encode()).digest()


def asked_of(request: Request, call: Call, said: Run, workflow_id: str, digest: bytes = b"") -> Asked:
    """Raises InvalidRequest, MetadataInvalid, InvalidWebhook, ForbiddenAddress, CharactersUnavailable."""
    if said.character_id:
        raise CharactersUnavailable(
            "Characters are not available yet: describe the character in the prompt, and leave character_id out."
        )
    key = parse_idempotency_key(request.headers.get("idempotency-key"))
    beside = {name: getattr(said, name) for name in BESIDE if getattr(said, name) is not None}
    return Asked(
        workflow_id=workflow_id,
        version=said.version,
        beside={name: ours(call, value) for name, value in beside.items()},
        params={name: ours(call, value) for name, value in said.params.items()},
        wish=wish_of(said.output),
        webhook=webhook_of(call, said.webhook),
        metadata=parse_metadata(said.metadata),
        idempotency=IdempotencyKey(key, digest) if key else None,
        priority=parse_priority(request.headers.get("x-atelier-priority")),
    )


def caller_of(request: Request, call: Call) -> Caller:
    """Who asks, and on whose behalf. Raises InvalidRequest, Forbidden."""
    end_user = parse_end_user(request.headers.get("x-on-behalf-of"))
    return call.caller.speaking_for(end_user) if end_user else call.caller


def wish_of(said: OutputWish | None) -> Wish:
    if said is None:
        return Wish()
    return Wish(
        PictureFormat(said.format) if said.format else None,
        said.quality,
        Metadata(said.metadata) if said.metadata else None,
    )


def webhook_of(call: Call, said: RequestWebhook | None) -> Webhook | None:
    """Raises InvalidWebhook, ForbiddenAddress."""
    if said is None:
        return None
    webhooks.check_asked(call.services.outbound, AskedWebhook(said.url, tuple(said.events), said.secret))
    return Webhook(said.url, tuple(said.events), said.secret)


def _is_form(request: Request) -> bool:
    return request.headers.get("content-type", "").lstrip().lower().startswith("multipart/form-data")


def _of_form(form: Form) -> Mapping[str, Any]:
    """Files that go by a common name stand beside `params`, all others among them."""
    given: dict[str, Any] = {**form.fields}
    params = given.get("params", {})
    params = dict(params) if bodies.is_object(params) else params
    for name, ids in form.files.items():
        if name == "input_images":
            given[name] = list(ids)
        elif name in BESIDE and len(ids) == 1:
            given[name] = ids[0]
        elif isinstance(params, dict):
            params[name] = list(ids) if len(ids) > 1 else ids[0]
    return given | {"params": params}


def ours(call: Call, value: Any) -> Any:
    """A link that this installation gave names the asset itself: nobody fetches from us what we have."""
    match value:
        case str() if value.startswith(f"{call.base}/files/"):
            found = _FILE.fullmatch(value.removeprefix(call.base))
            return found[1] if found and parse_uuid(found[1]) else value
        case {"url": str() as url} if len(value) == 1:
            found_here = ours(call, url)
            return value if found_here == url else found_here
        case list():
            return [ours(call, one) for one in value]  # pyright: ignore[reportUnknownVariableType]
        case _:
            return value
