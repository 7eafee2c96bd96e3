"""A job with its reasons, as its owner is shown it; where servers are is told to admins alone."""

import datetime as dt
from typing import Any

from pydantic import BaseModel, Field

from atelier.assets.pictures.thumbnails import possible
from atelier.dialects.asked import moment
from atelier.dialects.auth import Call
from atelier.jobs import details
from atelier.jobs.details import Whole
from atelier.jobs.model import Job, JobState, Output
from atelier.jobs.outlook import Prospect
from atelier.jobs.recipe import Recipe
from atelier.jobs.store.details import Attempt


class AttemptShown(BaseModel):
    """One try on one server. Seconds from its claim to its start, and from its start to its end."""

    number: int
    server: str
    state: str
    outcome: str | None
    evidence: dict[str, Any] | None
    claimed_at: dt.datetime
    started_at: dt.datetime | None
    ended_at: dt.datetime | None
    waited_seconds: float | None
    ran_seconds: float | None


class OutputShown(BaseModel):
    id: str
    node_id: str
    name: str
    type: str
    content_type: str
    size_bytes: int
    hash: str
    url: str
    url_expires_at: dt.datetime
    thumbnail_url: str | None


class ErrorShown(BaseModel):
    code: str
    message: str
    node_id: str | None
    class_type: str | None
    traceback: str | None


class JobListed(BaseModel):
    """`position` counts the waiting jobs before it (null: it does not wait), `place` says it in words (1000+)."""

    id: str
    account: str
    state: str
    reason: str = Field(description="Why it waits, or why it failed, in words.")
    position: int | None
    place: str
    eta_seconds: float | None = Field(description="Until it begins; null where nobody can know.")
    priority: int
    wished_priority: int | None = Field(description="What was asked for, where the key does not reach that far.")
    end_user: str
    metadata: dict[str, str]
    created_at: dt.datetime
    started_at: dt.datetime | None
    finished_at: dt.datetime | None
    tries: int = Field(description="Attempts that failed for a reason that is not the graph's.")
    retry_of: str | None
    workflow_id: str | None
    batch_id: str | None


class JobDetails(JobListed):
    """`run_timeout` in seconds, null: by what it makes. `lane`: the large models that it loads.

    `version`, `revision`, `params` (all of them, with their used values) and `seed` are of jobs of workflows.
    """

    dialect: str
    lane: list[str]
    run_timeout: float | None
    waits_until: dt.datetime
    not_before: dt.datetime
    keep_until: dt.datetime
    server_deaths: int
    dispatcher_losses: int
    avoids: list[str]
    dead_letter: bool
    replayed_as: str | None
    version: str | None
    revision: int | None
    params: dict[str, Any] | None
    seed: int | None = Field(description="The one that was used, also where it was drawn.")
    cached: bool = Field(description="Its files were made by an earlier job.")
    attempts: list[AttemptShown]
    outputs: list[OutputShown]
    error: ErrorShown | None


class AllJobs(BaseModel):
    jobs: list[JobListed]
    next_cursor: str | None


def listed(job: Job, prospect: Prospect, account: str) -> dict[str, Any]:
    """`account`: the name of whose it is."""
    return {
        "id": str(job.id),
        "account": account,
        "state": job.state.shown,
        "reason": prospect.reason or (job.error.message if job.error else ""),
        "position": prospect.position,
        "place": prospect.place,
        "eta_seconds": None if prospect.eta_seconds is None else round(prospect.eta_seconds, 1),
        "priority": job.priority,
        "wished_priority": job.wished_priority,
        "end_user": job.end_user,
        "metadata": dict(job.metadata),
        "created_at": moment(job.created_at),
        "started_at": moment(job.started_at),
        "finished_at": moment(job.finished_at),
        "tries": job.tries,
        "retry_of": str(job.retry_of) if job.retry_of else None,
        "workflow_id": job.workflow or None,
        "batch_id": str(job.batch_id) if job.batch_id else None,
    }


def detailed(whole: Whole, prospect: Prospect, call: Call, *, with_addresses: bool) -> dict[str, Any]:
    """`with_addresses`: evidence may name where servers are."""
    job, terms = whole.job, whole.terms
    return {
        **listed(job, prospect, terms.account),
        "dialect": terms.dialect,
        "lane": terms.lane.split("|") if terms.lane else [],
        "run_timeout": terms.run_timeout,
        "waits_until": moment(terms.wait_until),
        "not_before": moment(terms.not_before),
        "keep_until": moment(job.keep_until),
        "server_deaths": terms.server_deaths,
        "dispatcher_losses": terms.dispatcher_losses,
        "avoids": list(terms.avoid),
        "dead_letter": terms.dead,
        "replayed_as": str(terms.replayed_as) if terms.replayed_as else None,
        **_made_of(whole.recipe),
        "attempts": [attempt(one, with_addresses=with_addresses) for one in whole.attempts],
        "outputs": [output_shown(one, call) for one in job.outputs] if job.state is JobState.SUCCEEDED else [],
        "error": job.error.as_json() if job.error else None,
    }


def _made_of(recipe: Recipe | None) -> dict[str, Any]:
    return {
        "version": recipe.version if recipe else None,
        "revision": recipe.revision if recipe else None,
        "params": dict(recipe.params) if recipe else None,
        "seed": recipe.seed if recipe else None,
        "cached": recipe.cached if recipe else False,
    }


def attempt(one: Attempt, *, with_addresses: bool) -> dict[str, Any]:
    return {
        "number": one.number,
        "server": one.server_id,
        "state": one.state,
        "outcome": one.outcome,
        "evidence": one.evidence if with_addresses else details.without_addresses(one.evidence),
        "claimed_at": moment(one.claimed_at),
        "started_at": moment(one.started_at),
        "ended_at": moment(one.ended_at),
        "waited_seconds": seconds_between(one.claimed_at, one.started_at),
        "ran_seconds": seconds_between(one.started_at, one.ended_at),
    }


def seconds_between(start: dt.datetime | None, end: dt.datetime | None) -> float | None:
    return round(max((end - start).total_seconds(), 0.0), 3) if start and end else None


def output_shown(output: Output, call: Call) -> dict[str, Any]:
    """With links that open the file, and a small picture of it where it is one or a video; both end together."""
    links = call.services.links
    link = links.link(call.base, output.id)
    small = links.thumbnail(call.base, output.id).url if possible(output.content_type) else None
    return {
        "id": str(output.id),
        "node_id": output.node_id,
        "name": output.name,
        "type": output.kind,
        "content_type": output.content_type,
        "size_bytes": output.size,
        "hash": f"blake3:{output.hash}",
        "url": link.url,
        "url_expires_at": moment(link.expires_at),
        "thumbnail_url": small,
    }
