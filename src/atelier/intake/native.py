"""A prompt of the native API becomes a job, or is refused in the words of one ComfyUI that is the whole fleet.

Files are named as clients name them, and found among the account's own. Where one output is good and another bad,
the good one runs, and the answer says what is wrong with the other (wire contract 3 and 4).
"""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from atelier.accounts.model import Caller
from atelier.assets.service import MissingAssets
from atelier.comfy import validation_errors as errors
from atelier.comfy.bounds import DEFAULT_LIMITS, check_bounds
from atelier.comfy.graph import Graph, InvalidWorkflow, LoaderInput, WorkflowFormatUi, parse
from atelier.fleet.inventory import Inventory
from atelier.fleet.view import FleetView, told_errors
from atelier.intake.loaded import Files, find_files, names_in
from atelier.intake.needs import needs_of, upstream
from atelier.intake.prompt_words import (
    clipped,
    gone_files,
    in_native_words,
    refused,
    unknown_files,
    verdict_beside,
)
from atelier.intake.rules import check_files, is_foreign
from atelier.intake.service import Intake, Judged, Order, is_asset, judged
from atelier.jobs.model import Job
from atelier.jobs.prompt import Prompt

DIALECT = "comfyui"


@dataclass(frozen=True, slots=True)
class NativeOrder:
    """A request to /prompt, its members of the right types. `size`: bytes that it had.

    `graph` is parsed JSON as it came. `prompt_id` None: the job's id. `targets` None: all outputs. `extra_data`
    can be stored as it is, and has no `secrets` any more; these go to the server alone.
    """

    graph: object
    prompt_id: uuid.UUID | None = None
    number: float | None = None
    front: bool = False
    client_id: str | None = None
    extra_data: Mapping[str, Any] = field(default_factory=dict[str, Any])
    targets: Sequence[str] | None = None
    secrets: Mapping[str, str] | None = None
    size: int = 0


@dataclass(frozen=True, slots=True)
class Submitted:
    """What /prompt answers. `node_errors`: what is wrong with the outputs that are not run."""

    job: Job
    prompt_id: str
    number: float
    node_errors: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Read:
    """A graph that can harm nobody, its inputs that name files, and what was wrong with what was left out."""

    graph: Graph
    named: Sequence[LoaderInput]
    node_errors: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Found:
    """What was found of a prompt. `outputs` are those that are run, empty: all (nobody knows which they are)."""

    judged: Judged
    outputs: tuple[str, ...]
    node_errors: Mapping[str, Any]


async def submit(intake: Intake, caller: Caller, order: NativeOrder) -> Submitted:
    """Accept a prompt: one round trip, where it names no files.

    Raises PromptRefused and InvalidWorkflow (their `details` are ComfyUI's answer: `error` and `node_errors`),
    QueueFull, DuplicatePrompt; nothing was written then.
    """
    read = await intake.thought(order.size, lambda: read_prompt(intake.fleet, order))
    files = await _files(intake, caller, read)
    found = await intake.thought(order.size, lambda: judge(intake.fleet, order, read, files))
    prompt = Prompt(order.client_id, order.extra_data, found.outputs, files.shown)
    new = await intake.drawn_up(caller, _order(order, prompt), found.judged)
    try:
        job = await intake.enter(new)
    except MissingAssets as missing:
        raise gone_files(files.graph, missing) from missing
    return Submitted(job, str(order.prompt_id or job.id), _number(order, job), clipped(found.node_errors))


def read_prompt(fleet: FleetView, order: NativeOrder) -> Read:
    """The graph, and nothing beside it that could not be stored. Raises PromptRefused, InvalidWorkflow."""
    try:
        check_bounds([order.client_id, order.secrets, order.number], DEFAULT_LIMITS)
        graph, node_errors = parse(order.graph), dict[str, Any]()
    except (InvalidWorkflow, WorkflowFormatUi) as refusal:
        graph, node_errors = _good_part(fleet, order, refusal)
    return Read(graph, names_in(graph, [inventory.classes for inventory in fleet.inventories()]), node_errors)


def _good_part(
    fleet: FleetView, order: NativeOrder, refusal: InvalidWorkflow | WorkflowFormatUi
) -> tuple[Graph, dict[str, Any]]:
    """What a server would run of a graph in which it finds faults too, if that alone can harm nobody."""
    verdict = verdict_beside(fleet, order.graph, refusal, order.targets)
    if verdict is None or verdict.error is not None or not verdict.node_errors:
        raise in_native_words(fleet, order.graph, refusal) from refusal
    try:
        return parse(upstream(cast("Graph", order.graph), verdict.outputs)), told_errors(verdict)
    except InvalidWorkflow:
        raise in_native_words(fleet, order.graph, refusal) from refusal


async def _files(intake: Intake, caller: Caller, read: Read) -> Files:
    """The graph with the account's own files in it. The database is asked only where a file is named."""
    if not read.named:
        return Files(read.graph)
    async with intake.database.autocommit() as tx:
        return await find_files(tx, caller.account_id, read.graph, read.named)


def judge(fleet: FleetView, order: NativeOrder, read: Read, files: Files) -> Found:
    """What will be run of it. Raises PromptRefused, InvalidWorkflow."""
    graph, known = files.graph, tuple(fleet.inventories())
    if foreign := [one for one in files.unknown if is_foreign(one.value)]:
        raise unknown_files(foreign)
    check_files(graph, [inventory.classes for inventory in known])
    verdict = fleet.verdict(graph, order.targets, is_asset)
    if verdict is None:
        outputs = tuple(dict.fromkeys(target for target in order.targets or () if target in graph))
        if order.targets is not None and not outputs:
            raise refused(errors.no_outputs())
        return Found(_judged(graph, known, outputs), outputs, read.node_errors)
    if verdict.error is not None:
        raise refused(verdict.error, told_errors(verdict))
    node_errors = {**read.node_errors, **told_errors(verdict)}
    return Found(_judged(graph, known, verdict.outputs), verdict.outputs, node_errors)


def _judged(graph: Graph, known: Sequence[Inventory], outputs: tuple[str, ...]) -> Judged:
    try:
        return judged(graph, needs_of(graph, known, outputs))
    except MissingAssets as missing:
        raise gone_files(graph, missing) from missing


def _order(order: NativeOrder, prompt: Prompt) -> Order:
    return Order(
        order.graph,
        DIALECT,
        secrets=order.secrets,
        native_prompt_id=order.prompt_id,
        number=order.number,
        front=order.front,
        prompt=prompt,
    )


def _number(order: NativeOrder, job: Job) -> float:
    if order.number is not None:
        return order.number
    return -job.position if order.front else job.position
