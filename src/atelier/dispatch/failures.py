"""What a server answers instead of a result, sorted by what to do next."""

from typing import Any

import structlog

from atelier.comfy.catalog import as_list, as_object
from atelier.comfy.client import HistoryEntry
from atelier.comfy.errors import ComfyError, Failure, FailureKind, LostServer, Rejected, sort_failure
from atelier.comfy.rewriting import FOLDER
from atelier.dispatch.attempt import Attempt
from atelier.dispatch.closing import Closing, Trouble
from atelier.dispatch.ends import NotPlaced
from atelier.dispatch.probe import cannot_store
from atelier.dispatch.quarantine import Illness
from atelier.fleet.machine import machine_of
from atelier.jobs.model import Cause, JobError, Outcome

MAX_TRACEBACK = 20_000

_log = structlog.get_logger(__name__)


class Failures:
    """Ends attempts that failed on the server, and takes care of the server."""

    def __init__(self, closing: Closing) -> None:
        self._closing = closing

    async def run(self, attempt: Attempt, entry: HistoryEntry, data: dict[str, Any]) -> None:
        """An execution_error."""
        failure = sort_failure(data)
        match failure.kind:
            case FailureKind.OUT_OF_MEMORY:
                await self._out_of_memory(attempt, failure)
            case FailureKind.CUDA_FAULT:
                await self._ill(attempt, failure, Illness.CUDA_FAULT, Cause.CUDA_FAULT)
            case FailureKind.DISK_FULL:
                await self._ill(attempt, failure, Illness.DISK_FULL, Cause.DISK_FULL)
            case FailureKind.FAILED_NODE:
                error = JobError(
                    "node_execution_error",
                    f"{failure.exception_type}: {failure.message}"[:2000],
                    failure.node_id,
                    failure.node_type,
                    _traceback(data),
                )
                report = attempt.telling.report(entry) if attempt.telling else None
                await self._closing.failed(attempt, Outcome.FAILED, error, _evidence(failure), report=report)

    async def _out_of_memory(self, attempt: Attempt, failure: Failure) -> None:
        try:
            await attempt.host.client.free(unload_models=True, free_memory=True)
        except ComfyError as error:
            attempt.host.trouble(str(error))
        vram = machine_of(attempt.host.server.system).vram_total
        trouble = Trouble(Cause.OUT_OF_MEMORY, _evidence(failure), vram=vram, event="out_of_memory")
        await self._closing.retriable(attempt, trouble)

    async def _ill(self, attempt: Attempt, failure: Failure, illness: Illness, cause: Cause) -> None:
        """The first prompt that meets the illness is suspected; those behind it only came too late."""
        words = f"{failure.exception_type}: {failure.message.partition(chr(10))[0]}"
        if attempt.host.quarantine.begin(illness, words, attempt.prompt_id):
            await self._closing.retriable(attempt, Trouble(cause, _evidence(failure), was_running=True))
        else:
            await self._closing.withdraw(attempt, f"its server was quarantined: {attempt.host.quarantine.plain}")

    async def not_placed(self, attempt: Attempt, end: NotPlaced) -> None:
        """Its inputs did not reach the server."""
        if end.cause is None:
            error = JobError("input_unavailable", f"An input could not be brought to the server: {end.reason}")
            await self._closing.failed(attempt, Outcome.FAILED, error)
            return
        if end.cause is Cause.UPLOAD_FAILED:
            await self._try_disk(attempt)
        evidence = {"while": "placing inputs", "reason": end.reason}
        await self._closing.retriable(attempt, Trouble(end.cause, evidence))

    async def _try_disk(self, attempt: Attempt) -> None:
        """ComfyUI answers a plain 500 when it cannot write: a small file of ours tells whether it can."""
        try:
            reason = await cannot_store(attempt.host.client)
        except LostServer as lost:
            attempt.host.trouble(str(lost))
            return
        if reason:
            attempt.host.quarantine.begin(Illness.DISK_FULL, reason, attempt.prompt_id)

    async def rejected(self, attempt: Attempt, rejected: Rejected) -> None:
        """A 400: the graph's own fault, unless the server lost what it had, or what we had brought to it."""
        if f"{FOLDER}/" in rejected.missing_file:
            evidence = {"while": "submitting", "reason": rejected.missing_file}
            await self._closing.retriable(attempt, Trouble(Cause.INPUT_GONE, evidence))
            return
        try:
            stale = rejected.names_what_is_not_there and await attempt.host.lacks(attempt.claim.requirement_id)
        except LostServer as lost:
            evidence = {"while": "asking what the server has", "reason": str(lost)}
            await self._closing.retriable(attempt, Trouble(Cause.SERVER_LOST, evidence))
            return
        if stale:
            _log.info("server.lacks_now", server=attempt.claim.server_id, job=str(attempt.claim.job_id))
            await self._closing.withdraw(attempt, f"{attempt.claim.server_id} no longer has what it needs")
        else:
            said = {"error": rejected.error, "node_errors": rejected.node_errors}
            await self._closing.failed(attempt, Outcome.REJECTED, _rejection(rejected), said)


def _evidence(failure: Failure) -> dict[str, Any]:
    return {
        "exception_type": failure.exception_type,
        "message": failure.message[:2000],
        "node_id": failure.node_id,
        "node_type": failure.node_type,
    }


def _rejection(rejected: Rejected) -> JobError:
    """In the server's words, and what it says of the first node: the reason that a graph's author can act on."""
    message = str(rejected.error.get("message") or "The server refused the workflow.")
    node_id = next(iter(rejected.node_errors), None)
    node = (as_object(rejected.node_errors.get(node_id)) if node_id else None) or {}
    class_type = str(node["class_type"]) if "class_type" in node else None
    told = [(as_object(error) or {}).get("details") for error in as_list(node.get("errors")) or ()]
    reason = next((f"node {node_id} ({class_type}): {one}" for one in told if one), "")
    reason = reason or str(rejected.error.get("details") or "")
    return JobError("invalid_workflow", f"{message}: {reason}"[:2000] if reason else message, node_id, class_type)


def _traceback(data: dict[str, Any]) -> str | None:
    lines = as_list(data.get("traceback"))
    return "".join(str(line) for line in lines)[-MAX_TRACEBACK:] if lines else None
