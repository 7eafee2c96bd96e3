"""The state machine of a job, as pure functions: what may follow what, and what a failure leads to."""

import uuid

from atelier.jobs.model import Cause, Counters, GiveUp, JobError, JobState, TryAgain
from atelier.kit.ids import JobId

MAX_TRIES = 3
MAX_SERVER_DEATHS = 2
MAX_DISPATCHER_LOSSES = 3
BACKOFF = (2.0, 4.0)

_NEXT: dict[JobState, frozenset[JobState]] = {
    JobState.PREPARING: frozenset(
        {JobState.QUEUED, JobState.SUCCEEDED, JobState.CANCELED, JobState.FAILED, JobState.EXPIRED}
    ),
    JobState.QUEUED: frozenset({JobState.CLAIMED, JobState.CANCELED, JobState.EXPIRED, JobState.FAILED}),
    JobState.CLAIMED: frozenset(
        {
            JobState.RUNNING,
            JobState.QUEUED,
            JobState.CANCELING,
            JobState.SUCCEEDED,
            JobState.FAILED,
        }
    ),
    JobState.RUNNING: frozenset({JobState.QUEUED, JobState.CANCELING, JobState.SUCCEEDED, JobState.FAILED}),
    JobState.CANCELING: frozenset({JobState.CANCELED}),
}

_MESSAGES = {
    Cause.SERVER_LOST: "the server that ran it was lost",
    Cause.PROMPT_GONE: "the server that ran it restarted and forgot it",
    Cause.OUT_OF_MEMORY: "the server ran out of memory",
    Cause.OUTPUT_GONE: "the server listed an output file that it no longer has",
    Cause.DISPATCHER_LOST: "the dispatcher that drove it was lost",
    Cause.STORAGE: "its outputs could not be stored",
    Cause.QUEUE_WEDGED: "the server's queue stood still",
    Cause.CUDA_FAULT: "the server's GPU failed",
    Cause.DISK_FULL: "the server's disk was full",
    Cause.UPLOAD_FAILED: "the server could not store an input",
    Cause.INPUT_GONE: "the server had lost an input",
}


_DEADLY = frozenset({Cause.SERVER_LOST, Cause.PROMPT_GONE, Cause.QUEUE_WEDGED, Cause.CUDA_FAULT})
"""After these the server is of no use until somebody or something starts it anew."""

_NOT_THE_SERVER = frozenset({Cause.DISPATCHER_LOST, Cause.STORAGE})


def may_follow(before: JobState, after: JobState) -> bool:
    """Whether a job in state `before` may be put into state `after`."""
    return after in _NEXT.get(before, frozenset())


def prompt_id(job_id: JobId, number: int) -> uuid.UUID:
    """The id that a server knows attempt `number` by: the same for everybody who computes it."""
    return uuid.uuid5(job_id, str(number))


def counted(counters: Counters, cause: Cause, *, was_running: bool) -> Counters:
    """The counters after one more failure. A server's death counts only against the prompt that it was running."""
    dead = cause in _DEADLY and was_running
    return Counters(
        tries=counters.tries + (cause is not Cause.DISPATCHER_LOST),
        server_deaths=counters.server_deaths + dead,
        dispatcher_losses=counters.dispatcher_losses + (cause is Cause.DISPATCHER_LOST),
    )


def after_failure(counters: Counters, cause: Cause) -> TryAgain | GiveUp:
    """What follows when `counters` already include this failure. Delays in seconds."""
    if counters.server_deaths >= MAX_SERVER_DEATHS:
        return GiveUp(JobError("poison", f"Stopped after {counters.server_deaths} servers died while running it."))
    if counters.dispatcher_losses >= MAX_DISPATCHER_LOSSES:
        return GiveUp(
            JobError("dispatcher_lost", f"Stopped after {counters.dispatcher_losses} dispatchers were lost.")
        )
    if counters.tries >= MAX_TRIES:
        return GiveUp(JobError(str(cause), f"Tried {counters.tries} times; the last time {_MESSAGES[cause]}."))
    if cause is Cause.DISPATCHER_LOST:
        return TryAgain(0.0)
    return TryAgain(BACKOFF[min(counters.tries, len(BACKOFF)) - 1])


def blames_server(cause: Cause) -> bool:
    """Whether the next try should be on another server, where there is one."""
    return cause not in _NOT_THE_SERVER


def reason(cause: Cause) -> str:
    """The cause in words."""
    return _MESSAGES[cause]
