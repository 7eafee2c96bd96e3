"""What a request to make something is answered: the job with its files, as far as it has come."""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from atelier.dialects import jobs_v1_wire
from atelier.dialects.auth import Call
from atelier.intake.generation import MILLI, Accepted
from atelier.intake.quoting import Quote
from atelier.jobs.model import Job, JobState, Output
from atelier.jobs.outlook import Prospect
from atelier.jobs.recipe import Recipe
from atelier.jobs.store import recipes
from atelier.kit.database import Tx


class MadeOutput(jobs_v1_wire.OutputShown):
    """A file of the result."""


class MadeUrls(BaseModel):
    """Absolute addresses."""

    model_config = ConfigDict(populate_by_name=True)

    own: str = Field(alias="self")
    events: str
    cancel: str


class Made(BaseModel):
    """One run. `outputs` are there once `status` is succeeded, `error` once it is failed or expired."""

    id: str
    status: str = Field(description="queued, running, canceling, succeeded, failed, canceled or expired.")
    workflow_id: str
    version: str
    revision: int
    seed: int | None = Field(description="The one that is used, also where it was drawn.")
    params: dict[str, Any] = Field(description="All parameters with the values that are used.")
    cached: bool = Field(description="Its files were made by an earlier job.")
    outputs: list[MadeOutput]
    price: float = Field(description="In credits.")
    queue_position: int | None = Field(description="0 is next; null when it does not wait.")
    eta_seconds: float | None = Field(description="Until it begins; null where nobody can know.")
    batch_id: str | None
    error: jobs_v1_wire.ErrorShown | None
    urls: MadeUrls


class Quoted(BaseModel):
    """What a run would cost, and when it would begin; nothing was started."""

    workflow_id: str
    version: str
    revision: int
    price: float = Field(description="In credits.")
    runnable: bool | None = Field(description="null: no server has told what it has.")
    reason: str = Field(description="Why no server can run it, or empty.")
    missing: dict[str, Any] | None = Field(description="Node classes and model files that a server would need.")
    queue_position: int | None = Field(description="How many jobs would begin before it.")
    eta_seconds: float | None = Field(description="Until it would begin; null where nobody can know.")
    run_seconds: float | None = Field(description="How long such runs took; null where there was none.")


async def recipe_and_price(tx: Tx, accepted: Accepted, job: Job) -> tuple[Recipe | None, float]:
    """What the job was made of in the end: one that found its files, or waits for another's, costs less."""
    if job.state is JobState.QUEUED and accepted.job.state is JobState.QUEUED:
        return accepted.asked.recipe, accepted.asked.price / MILLI
    recipe = await recipes.recipe_of(tx, job.account_id, job.id)
    return recipe, await recipes.held_for(tx, job.id) / MILLI


def made(call: Call, accepted: Accepted, job: Job, prospect: Prospect, cost: tuple[Recipe | None, float]) -> Any:
    """`cost` as `recipe_and_price` gives it."""
    recipe, price = cost
    return {
        "id": str(job.id),
        "status": job.state.shown,
        "workflow_id": accepted.workflow.id,
        "version": accepted.workflow.manifest.version,
        "revision": accepted.workflow.revision,
        "seed": accepted.values.seed,
        "params": dict(accepted.values.params),
        "cached": recipe is not None and recipe.cached,
        "outputs": [_output(call, one) for one in _results(job, recipe)],
        "price": price,
        "queue_position": prospect.position,
        "eta_seconds": None if prospect.eta_seconds is None else round(prospect.eta_seconds, 1),
        "batch_id": str(job.batch_id) if job.batch_id else None,
        "error": job.error.as_json() if job.error else None,
        "urls": _urls(call, job),
    }


def quoted(quote: Quote) -> dict[str, Any]:
    missing = quote.missing or {}
    told = {name: missing[name] for name in ("missing_node_classes", "missing_models") if name in missing}
    return {
        "workflow_id": quote.workflow.id,
        "version": quote.workflow.manifest.version,
        "revision": quote.workflow.revision,
        "price": quote.price,
        "runnable": quote.runnable,
        "reason": quote.reason,
        "missing": told or None,
        "queue_position": quote.position,
        "eta_seconds": None if quote.begins_in is None else round(quote.begins_in, 1),
        "run_seconds": None if quote.runs_for is None else round(quote.runs_for, 1),
    }


def _results(job: Job, recipe: Recipe | None) -> list[Output]:
    """Without what nodes only showed, and of the nodes that the workflow's author named."""
    if job.state is not JobState.SUCCEEDED:
        return []
    nodes = recipe.finish.nodes if recipe and recipe.finish else ()
    kept = [one for one in job.outputs if not one.temporary and (not nodes or one.node_id in nodes)]
    return kept or list(job.outputs)


def _output(call: Call, output: Output) -> dict[str, Any]:
    return jobs_v1_wire.output_shown(output, call)


def _urls(call: Call, job: Job) -> dict[str, str]:
    own = f"{call.base}/api/v1/jobs/{job.id}"
    return {"self": own, "events": f"{own}/events", "cancel": f"{own}/cancel"}
