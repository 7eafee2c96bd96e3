"""A batch as its owner is shown it: the whole first, then what became of each item."""

import datetime as dt
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from atelier.dialects import jobs_v1_wire
from atelier.dialects.asked import moment
from atelier.dialects.auth import Call
from atelier.jobs import batches
from atelier.jobs.batches import Batch, Item, RefusedItem
from atelier.jobs.model import JobState


class BatchError(BaseModel):
    """Why an item became no job."""

    code: str
    message: str
    details: dict[str, Any] | None = None


class Counts(BaseModel):
    """How many items stand how; those whose jobs were deleted meanwhile are not counted."""

    queued: int
    running: int
    canceling: int
    succeeded: int
    failed: int
    canceled: int
    expired: int
    refused: int


class ItemShown(BaseModel):
    """An item of a batch. `status` is that of its job, or refused; then there is no job."""

    index: int = Field(description="Its place in the request, counted from 0.")
    status: str
    job_id: str | None
    seed: int | None
    params: dict[str, Any] = Field(description="All parameters with the values that are used.")
    cached: bool = Field(description="Its files were made by an earlier job.")
    outputs: list[jobs_v1_wire.OutputShown]
    error: BatchError | jobs_v1_wire.ErrorShown | None


class BatchUrls(BaseModel):
    """Absolute addresses."""

    model_config = ConfigDict(populate_by_name=True)

    own: str = Field(alias="self")
    cancel: str


class BatchListed(BaseModel):
    """The whole of a batch. `progress` (0 to 1) counts what is over, and what runs as far as it is."""

    id: str
    status: str = Field(description="queued, running, succeeded, partial, failed or canceled.")
    workflow_id: str
    total: int
    counts: Counts
    progress: float
    end_user: str
    created_at: dt.datetime
    finished_at: dt.datetime | None
    urls: BatchUrls


class BatchShown(BatchListed):
    """`items` is one page of them, in the order of the request."""

    items: list[ItemShown]
    next_cursor: str | None = Field(description="For `?cursor=`; null on the last page.")


class AllBatches(BaseModel):
    batches: list[BatchListed]
    next_cursor: str | None


def counts(batch: Batch) -> dict[str, int]:
    """By the states that are shown, and those that were refused."""
    found = dict.fromkeys(Counts.model_fields, 0) | {"refused": len(batch.refused)}
    for state, jobs in batch.states.items():
        found[state.shown] += jobs
    return found


def listed(batch: Batch, base: str) -> dict[str, Any]:
    """`base`: the address that our links begin with."""
    state = batches.state_of(batch)
    own = f"{base}/api/v1/batches/{batch.id}"
    return {
        "id": str(batch.id),
        "status": state,
        "workflow_id": batch.workflow,
        "total": batch.total,
        "counts": counts(batch),
        "progress": round(batches.progress_of(batch), 4),
        "end_user": batch.end_user,
        "created_at": moment(batch.created_at),
        "finished_at": moment(batch.finished_at) if state.terminal else None,
        "urls": {"self": own, "cancel": f"{own}/cancel"},
    }


def item(one: Item | RefusedItem, call: Call) -> dict[str, Any]:
    if isinstance(one, RefusedItem):
        nothing: dict[str, Any] = {"job_id": None, "seed": None, "params": {}, "cached": False, "outputs": []}
        return {"index": one.index, "status": "refused", **nothing, "error": dict(one.error)}
    job = one.job
    made = job.outputs if job.state is JobState.SUCCEEDED else ()
    return {
        "index": one.index,
        "status": job.state.shown,
        "job_id": str(job.id),
        "seed": one.seed,
        "params": dict(one.params),
        "cached": one.cached,
        "outputs": [jobs_v1_wire.output_shown(output, call) for output in made if not output.temporary],
        "error": job.error.as_json() if job.error else None,
    }
