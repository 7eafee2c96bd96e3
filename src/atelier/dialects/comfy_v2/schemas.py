"""The shapes of Comfy API v2 as its document shows them; `wire` spells the answers, a test compares the two."""

import datetime as dt
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Status = Literal["queued", "running", "canceling", "succeeded", "canceled", "failed", "expired"]


class Progress(BaseModel):
    """A full snapshot; value never goes back."""

    value: float = Field(ge=0, le=1)
    nodes_done: int
    nodes_total: int
    current_node: str | None
    current_node_class: str | None
    step: int | None
    steps: int | None
    message: str | None


class Output(BaseModel):
    """A file that a job made; its id is an asset id."""

    node_id: str
    name: str
    type: Literal["image", "video", "audio", "text", "file", "latent"]
    content_type: str
    size_bytes: int
    id: str
    hash: str | None
    url: str
    url_expires_at: dt.datetime
    job_id: str


class JobError(BaseModel):
    code: str
    message: str
    node_id: str | None
    class_type: str | None
    traceback: str | None


class JobUrls(BaseModel):
    """Absolute addresses."""

    model_config = ConfigDict(populate_by_name=True)

    own: str = Field(alias="self")
    events: str
    cancel: str
    logs: str


class Job(BaseModel):
    """One run of a workflow."""

    id: str
    status: Status
    created_at: dt.datetime
    started_at: dt.datetime | None
    completed_at: dt.datetime | None
    expires_at: dt.datetime
    queue_position: int | None = Field(description="0 is next; null when the job does not wait.")
    progress: Progress | None
    outputs: list[Output]
    error: JobError | None
    metrics: dict[str, int | None]
    metadata: dict[str, str] | str
    urls: JobUrls


class ListedJob(Job):
    create_time: dt.datetime
    update_time: dt.datetime


class JobList(BaseModel):
    """Newest first. A null `next_cursor` marks the last page."""

    jobs: list[ListedJob]
    next_cursor: str | None


class JobWorkflow(BaseModel):
    workflow: dict[str, Any]
    format: Literal["save", "api"]


class StatusEvent(BaseModel):
    status: Status
    queue_position: int = Field(default=0, description="Only while the job waits.")


class PreviewEvent(BaseModel):
    """What the picture looks like so far."""

    node_id: str
    content_type: str
    data_base64: str


class LogEvent(BaseModel):
    level: str
    message: str


class ExtraData(BaseModel):
    model_config = ConfigDict(extra="forbid")

    api_key_comfy_org: str | None = Field(default=None, max_length=4096)


class NewJob(BaseModel):
    """What POST /jobs takes; unknown fields are refused."""

    model_config = ConfigDict(extra="forbid")

    workflow: dict[str, Any] = Field(description="A graph in API format: nodes by id.")
    extra_data: ExtraData | None = None
    metadata: dict[str, str] | str | None = None
    webhook_url: None = Field(default=None, description="Reserved.")
    inputs: None = Field(default=None, description="Reserved.")


class Asset(BaseModel):
    """A stored file of the account."""

    id: str
    hash: str | None
    size_bytes: int
    content_type: str
    file_path: str | None
    created_new: bool | None
    created_at: dt.datetime
    url: str
    url_expires_at: dt.datetime
    expires_at: dt.datetime | None
    job_id: str | None


class FromHash(BaseModel):
    model_config = ConfigDict(extra="forbid")

    hash: str = Field(pattern="^(blake3:)?[0-9a-fA-F]{64}$")
    file_path: str | None = None
    tags: list[str] | None = Field(default=None, max_length=32)
    expires_in: int | None = Field(default=None, description="Seconds.", ge=1, le=315_360_000)
