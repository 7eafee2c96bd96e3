"""What went wrong with ONE ComfyUI server, sorted once, by what to do next."""

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

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

    Memory comes first, because torch words it "CUDA error: out of memory" too; a fault of CUDA itself poisons
    the server's process, so that the server must be restarted and other jobs keep away from it.
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
    if any(word in message for word in _CUDA_WORDS):
        return FailureKind.CUDA_FAULT
    return FailureKind.FAILED_NODE


def _text(value: object) -> str:
    return value if isinstance(value, str) else "" if value is None else str(value)


def _optional(value: object) -> str | None:
    return None if value is None else str(value)
