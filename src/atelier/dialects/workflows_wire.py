"""Workflows as our API shows them: the names that older clients read, and beside them what the registry knows."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from atelier.dialects import asked
from atelier.workflows import schema
from atelier.workflows.kinds import Models
from atelier.workflows.model import FILES, Kind, Workflow
from atelier.workflows.readiness import Fit, closest, packs_for
from atelier.workflows.store.revisions import Version


class PackShown(BaseModel):
    name: str
    url: str
    nodes: list[str]


class InputShown(BaseModel):
    """A file that the workflow takes: `image`, `mask` or `images`."""

    name: str
    type: str
    required: bool
    label: str
    description: str


class WorkflowShown(BaseModel):
    """One workflow as it runs now.

    `runnable`: whether some server could begin it now; null while no server has told what it has.
    `average_seconds`: of runs with default values; null while there were none. `shared`: everybody's. `min_vram`
    in GiB.
    """

    id: str
    name: str
    description: str
    category: str
    model_family: str
    version: str
    revision: int
    origin: str
    shared: bool
    draft: bool
    tags: list[str]
    supports_batch: bool
    max_batch_size: int
    requires_input_image: bool
    requires_mask: bool
    configurable_params: dict[str, Any]
    inputs: list[InputShown]
    example_payload: dict[str, Any]
    price: int
    average_seconds: float | None
    runnable: bool | None
    cover_url: str | None
    min_vram: float
    timeout: str
    format: str | None
    packs: list[PackShown]


class WorkflowList(BaseModel):
    """`faults` of folders that could not be read are told to admins alone."""

    workflows: list[WorkflowShown]
    faults: list[dict[str, str]] | None


class ModelLacked(BaseModel):
    node_class: str
    input: str
    name: str


class Lacked(BaseModel):
    """What a server lacks. `packs` of the manifest would bring node classes. `vram`: GiB that are too few."""

    node_classes: list[str]
    models: list[ModelLacked]
    packs: list[str]
    vram: float | None


class ServerFit(BaseModel):
    """`able` null: the server has told nothing yet."""

    id: str
    able: bool | None
    ready: bool
    missing: Lacked | None


class WorkflowDetail(WorkflowShown):
    """With the JSON Schema of its parameters, and who can run it.

    `able` of `servers_known` servers have all that it needs, `ready` of them take jobs now. `missing`: what the
    server lacks that lacks the least. `servers`: for admins alone.
    """

    names: dict[str, str]
    descriptions: dict[str, str]
    parameters_schema: dict[str, Any]
    examples: list[dict[str, Any]]
    servers_known: int
    able: int
    ready: int
    missing: Lacked | None
    servers: list[ServerFit] | None
    created_at: str | None


class VersionShown(BaseModel):
    revision: int
    version: str
    draft: bool
    current: bool
    created_at: str | None


class VersionList(BaseModel):
    workflow_id: str
    versions: list[VersionShown]


@dataclass(frozen=True, slots=True)
class Shown:
    """What is known about a workflow beside itself. `base`: the address that links begin with."""

    base: str
    language: str
    runnable: bool | None
    seconds: float | None


def summary(workflow: Workflow, beside: Shown) -> dict[str, Any]:
    """WorkflowShown."""
    manifest = workflow.manifest
    required = {one.kind for one in manifest.parameters if one.required}
    return {
        "id": manifest.id,
        "name": manifest.name.in_language(beside.language),
        "description": manifest.description.in_language(beside.language),
        "category": manifest.category,
        "model_family": manifest.family,
        "version": manifest.version,
        "revision": workflow.revision,
        "origin": workflow.origin.value,
        "shared": workflow.account_id is None,
        "draft": workflow.draft,
        "tags": list(manifest.tags),
        "supports_batch": manifest.max_batch_size > 1,
        "max_batch_size": manifest.max_batch_size,
        "requires_input_image": bool(required & {Kind.IMAGE, Kind.IMAGES}),
        "requires_mask": Kind.MASK in required,
        "configurable_params": schema.wire(manifest, beside.language),
        "inputs": _inputs(workflow, beside.language),
        "example_payload": schema.payload(manifest),
        "price": manifest.price,
        "average_seconds": None if beside.seconds is None else round(beside.seconds, 2),
        "runnable": beside.runnable,
        "cover_url": _cover_url(workflow, beside.base),
        "min_vram": manifest.min_vram,
        "timeout": manifest.timeout,
        "format": manifest.format or None,
        "packs": [{"name": one.name, "url": one.url, "nodes": list(one.nodes)} for one in manifest.packs],
    }


def detail(
    workflow: Workflow, beside: Shown, fits: Sequence[Fit], models: Models, *, named: bool
) -> dict[str, Any]:
    """WorkflowDetail. `named`: the servers are told by their ids."""
    manifest = workflow.manifest
    near = closest(fits)
    return summary(workflow, beside) | {
        "names": manifest.name.as_json(),
        "descriptions": manifest.description.as_json(),
        "parameters_schema": schema.of(manifest, beside.language, models),
        "examples": [
            {"title": one.title.in_language(beside.language), "params": dict(one.params)}
            for one in manifest.examples
        ],
        "servers_known": sum(fit.missing is not None for fit in fits),
        "able": sum(fit.able for fit in fits),
        "ready": sum(fit.ready for fit in fits),
        "missing": _lacked(workflow, near) if near else None,
        "servers": [_fit(workflow, fit) for fit in fits] if named else None,
        "created_at": asked.moment(workflow.created_at),
    }


def version(one: Version, current: Workflow | None) -> dict[str, Any]:
    """VersionShown."""
    return {
        "revision": one.revision,
        "version": one.version,
        "draft": one.draft,
        "current": current is not None and (current.key, current.revision) == (one.key, one.revision),
        "created_at": asked.moment(one.created_at),
    }


def _inputs(workflow: Workflow, language: str) -> list[dict[str, Any]]:
    return [
        {
            "name": one.name,
            "type": one.kind.value,
            "required": one.required,
            "label": one.label.in_language(language),
            "description": one.help.in_language(language),
        }
        for one in workflow.manifest.parameters
        if one.kind in FILES
    ]


def _cover_url(workflow: Workflow, base: str) -> str | None:
    if not workflow.has_cover:
        return None
    return f"{base}/api/v1/workflows/{workflow.id}/cover?version={workflow.revision}"


def _fit(workflow: Workflow, fit: Fit) -> dict[str, Any]:
    known = fit.missing is not None
    return {
        "id": fit.server.id,
        "able": fit.able if known else None,
        "ready": fit.ready,
        "missing": _lacked(workflow, fit) if known else None,
    }


def _lacked(workflow: Workflow, fit: Fit) -> dict[str, Any] | None:
    """None where nothing is lacking."""
    missing = fit.missing
    if missing is None or fit.able:
        return None
    refs = sorted(missing.models, key=lambda ref: ref.value)
    return {
        "node_classes": sorted(missing.classes),
        "models": [{"node_class": ref.class_type, "input": ref.input_name, "name": ref.value} for ref in refs],
        "packs": packs_for(workflow.manifest, missing),
        "vram": fit.vram if fit.vram_short else None,
    }
