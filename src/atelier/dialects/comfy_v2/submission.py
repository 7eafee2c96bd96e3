"""A submission is parsed once: what POST /jobs may say, and nothing that it must not."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from atelier.dialects.comfy_v2.labels import parse_metadata
from atelier.kit.errors import Kind, Refusal
from atelier.kit.http.bodies import is_object, parse_object

_FIELDS = frozenset({"workflow", "extra_data", "metadata", "webhook_url", "inputs"})
_RESERVED = ("webhook_url", "inputs")
_SECRET = "api_key_comfy_org"  # noqa: S105 - the name of a field
_MAX_SECRET = 4096
_PRIORITY = re.compile(r"[1-9]|10")
_END_USER = re.compile(r"[\x21-\x7e]([\x20-\x7e]{0,126}[\x21-\x7e])?")
_KEY = re.compile(r"[\x20-\x7e]{1,255}")


class InvalidRequest(Refusal):
    code: ClassVar[str] = "invalid_request"


class ReservedField(Refusal):
    kind: ClassVar[Kind] = Kind.UNPROCESSABLE
    code: ClassVar[str] = "invalid_request"


@dataclass(frozen=True, slots=True)
class Submission:
    """`workflow` is still to be judged; `secrets` go to partner nodes and nowhere else."""

    workflow: object
    metadata: dict[str, str]
    secrets: Mapping[str, str] | None


def parse_submission(raw: bytes) -> Submission:
    """Raises MalformedBody and InvalidRequest (400), ReservedField and MetadataInvalid (422)."""
    body = parse_object(raw)
    check_closed("The body", body, _FIELDS)
    for name in _RESERVED:
        if body.get(name) is not None:
            raise ReservedField(f"{name} is reserved and cannot be used yet.")
    return Submission(
        workflow=body.get("workflow"),
        metadata=parse_metadata(body.get("metadata")),
        secrets=_secrets(body.get("extra_data")),
    )


def parse_idempotency_key(header: str | None) -> str | None:
    """The client's key, None without one. Raises InvalidRequest for an empty, long or unprintable one."""
    if header is None:
        return None
    if not _KEY.fullmatch(header):
        raise InvalidRequest("Idempotency-Key must be 1 to 255 printable ASCII characters.")
    return header


def parse_priority(header: str | None) -> int | None:
    """The class that the client wishes for (X-Atelier-Priority), None without one. Raises InvalidRequest."""
    if header is None:
        return None
    if not _PRIORITY.fullmatch(header):
        raise InvalidRequest("X-Atelier-Priority must be a whole number from 1 to 10; 10 runs first.")
    return int(header)


def parse_end_user(header: str | None) -> str:
    """On whose behalf the client asks (X-On-Behalf-Of), empty without one. Raises InvalidRequest."""
    if header is None:
        return ""
    if not _END_USER.fullmatch(header):
        raise InvalidRequest("X-On-Behalf-Of must be 1 to 128 printable ASCII characters.")
    return header


def _secrets(extra_data: object) -> Mapping[str, str] | None:
    if extra_data is None:
        return None
    if not is_object(extra_data):
        raise InvalidRequest("extra_data must be an object.")
    check_closed("extra_data", extra_data, frozenset({_SECRET}))
    match extra_data.get(_SECRET):
        case None:
            return None
        case str(key) if len(key) <= _MAX_SECRET:
            return {_SECRET: key} if key else None
        case _:
            raise InvalidRequest(f"extra_data.{_SECRET} must be a string of {_MAX_SECRET} characters at most.")


def check_closed(where: str, given: Mapping[str, Any], known: frozenset[str]) -> None:
    """Raises InvalidRequest for a field that is not `known`: nobody should rely on what we ignore."""
    unknown = sorted(given.keys() - known)
    if unknown:
        raise InvalidRequest(
            f"{where} has an unknown field: {unknown[0][:60]}.", details={"unknown": unknown[:20]}
        )
