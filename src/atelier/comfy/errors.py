"""What went wrong with ONE ComfyUI server, sorted once, by what to do next."""

import enum
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from atelier.comfy.catalog import as_list, as_object

BODY_START = 500
"""How many characters of an unexpected reply are kept to be shown to an operator."""


class ComfyError(Exception):
    """Everything that a ComfyUI server, or the way to it, can do to us."""


class LostServer(ComfyError):  # noqa: N818 - the name says what to do: take another server
    """No reply that means anything: what the server did with the request is unknown. Next: another server.

    `refused` is true when the machine answered that nothing listens there (ECONNREFUSED). `never_sent` is true
    when no connection came about, so that the request cannot have had an effect.
    """

    def __init__(self, message: str, *, refused: bool = False, never_sent: bool = False) -> None:
        super().__init__(message)
        self.refused = refused
        self.never_sent = never_sent or refused


class Rejected(ComfyError):  # noqa: N818 - the server's answer to a graph
    """The server will not run this graph (400 from POST /prompt). Next: no retry, show why.

    `error` is ComfyUI's `{type, message, details, extra_info}`, `node_errors` is keyed by node id.
    """

    def __init__(self, error: Mapping[str, Any], node_errors: Mapping[str, Any]) -> None:
        super().__init__(str(error.get("message") or error.get("type") or "the server rejected the graph"))
        self.error = dict(error)
        self.node_errors = dict(node_errors)

    @property
    def names_what_is_not_there(self) -> bool:
        """A node class or a file that this server does not have; perhaps it had it when it was asked last.

        0.3.64 calls an unknown class `invalid_prompt`, servers of 2026 `missing_node_type`.
        """
        unknown_class = self.error.get("type") in {"invalid_prompt", "missing_node_type"}
        return unknown_class or any(error.get("type") == "value_not_in_list" for error in self._errors())

    @property
    def missing_file(self) -> str:
        """What the server says of an input file that it cannot open (behaviour 29); empty when it says no such."""
        failed = (error for error in self._errors() if error.get("type") == "custom_validation_failed")
        return next((str(error.get("details", "")) for error in failed), "")

    def _errors(self) -> Iterator[Mapping[str, Any]]:
        for node in self.node_errors.values():
            listed = as_list((as_object(node) or {}).get("errors")) or []
            yield from (error for error in map(as_object, listed) if error)


class Unexpected(ComfyError):  # noqa: N818 - the reply, not an error of ours
    """A reply that should not be. After POST /prompt the prompt may be enqueued all the same (seen: 500)."""

    def __init__(self, status: int, body_start: str) -> None:
        super().__init__(f"the server answered {status}: {body_start[:BODY_START]!r}")
        self.status = status
        self.body_start = body_start[:BODY_START]


class FileGone(ComfyError):  # noqa: N818 - the file, not an error of ours
    """The server lists a file that it no longer has (404 from /view)."""


class FailureKind(enum.Enum):
    """What a failed run means for its server and its job."""

    FAILED_NODE = "failed_node"
    OUT_OF_MEMORY = "out_of_memory"
    CUDA_FAULT = "cuda_fault"
    DISK_FULL = "disk_full"


@dataclass(frozen=True, slots=True)
class Failure:
    """A run that ended with execution_error, in the words of the server."""

    kind: FailureKind
    node_id: str | None
    node_type: str | None
    exception_type: str
    message: str


_MEMORY_TYPES = ("MemoryError", "OutOfMemory", "OOM_EXCEPTION")
_MEMORY_WORDS = (
    "out of memory",
    "allocation on device",
    "not enough memory",
    "can't allocate memory",
    "cannot allocate memory",
    "cublas_status_alloc_failed",
    "cuda_error_out_of_memory",
    "hip_error_out_of_memory",
    "not enough gpu video memory",
)
_DISK_WORDS = ("[errno 28]", "no space left on device", "disk quota exceeded")
_CUDA_WORDS = (
    "cuda error",
    "hip error",
    "device-side assert",
    "illegal memory access",
    "cudnn_status_",
    "cublas_status_",
    "unspecified launch failure",
    "no cuda gpus are available",
    "driver shutting down",
    "gpu is lost",
)


def sort_failure(execution_error_data: Mapping[str, Any]) -> Failure:
    """Sort the data of an execution_error (wire contract 7.5) by what it means for the server.

    Memory comes first, because torch words it "CUDA error: out of memory" too; on a full disk no job
    can save. A fault of CUDA itself poisons the server's process: it must be restarted, and other jobs keep away.
    """
    exception_type = _text(execution_error_data.get("exception_type"))
    message = _text(execution_error_data.get("exception_message"))
    return Failure(
        kind=_kind(exception_type, message.lower()),
        node_id=_optional(execution_error_data.get("node_id")),
        node_type=_optional(execution_error_data.get("node_type")),
        exception_type=exception_type,
        message=message.strip(),
    )


def _kind(exception_type: str, message: str) -> FailureKind:
    if exception_type.endswith(_MEMORY_TYPES) or any(word in message for word in _MEMORY_WORDS):
        return FailureKind.OUT_OF_MEMORY
    if any(word in message for word in _DISK_WORDS):
        return FailureKind.DISK_FULL
    if any(word in message for word in _CUDA_WORDS):
        return FailureKind.CUDA_FAULT
    return FailureKind.FAILED_NODE


def _text(value: object) -> str:
    return value if isinstance(value, str) else "" if value is None else str(value)


def _optional(value: object) -> str | None:
    return None if value is None else str(value)
