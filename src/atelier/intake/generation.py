"""A request to make something becomes a job of a workflow: its values read, its files there, its graph bound.

What is wrong with it is told before a file is fetched, and all of it before anything is written or charged.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from atelier.accounts.model import Caller
from atelier.assets.model import Asset
from atelier.comfy.links import Graph
from atelier.dispatch.limits import kind as made_by
from atelier.fleet.model_files import ModelFiles
from atelier.intake.asking import DIALECT, Asked, Wish
from atelier.intake.inputs import Inputs, Receipts
from atelier.intake.named_files import InvalidInput, Named, parse_all
from atelier.intake.results import Results
from atelier.intake.service import Intake, Judged, Order
from atelier.jobs.model import Job, NewJob
from atelier.jobs.recipe import Finish, Metadata, PictureFormat, Recipe
from atelier.workflows import binding, values
from atelier.workflows.model import Kind, Manifest, Parameter, Workflow
from atelier.workflows.registry import Registry
from atelier.workflows.values import InvalidParameter, Values

MILLI = 1000
"""Prices of manifests are whole credits, those of jobs thousandths."""

NODE_BYTES = 300
"""About what a node of a graph takes, for judging whether a graph is large."""

NOBODYS = "00000000-0000-0000-0000-000000000000"
"""Stands for a file until it is there."""


@dataclass(frozen=True, slots=True)
class House:
    """What the installation says where neither request nor workflow does.

    `timeouts`: seconds that a run may take, by kind (image, video, other); None where all runs have one limit.
    """

    timeouts: Mapping[str, float] | None = None
    format: PictureFormat = PictureFormat.ORIGINAL
    quality: int = 80
    metadata: Metadata = Metadata.KEEP


@dataclass(frozen=True, slots=True)
class Drawn:
    """A request as a job that may be accepted; nothing of it is written yet."""

    workflow: Workflow
    values: Values
    job: NewJob


@dataclass(frozen=True, slots=True)
class Accepted:
    """`job` as it was accepted, or as it ended at once where its result was there; `asked` as it went in."""

    workflow: Workflow
    values: Values
    job: Job
    asked: NewJob


@dataclass(frozen=True, slots=True)
class Understood:
    """Values whose files may not be there yet: `files` says where each of them is to come from."""

    workflow: Workflow
    values: Values
    files: Mapping[str, Sequence[Named]]


@dataclass(frozen=True, slots=True)
class Generation:
    intake: Intake
    registry: Registry
    inputs: Inputs
    results: Results
    models: ModelFiles
    house: House

    async def submit(self, caller: Caller, asked: Asked, receipts: Receipts) -> Accepted:
        """Accept a job, or raise and have written nothing but the files in `receipts`.

        Raises WorkflowNotFound, InvalidParameter, InvalidInput, and what `Intake.submit` raises.
        """
        drawn = await self.drawn(caller, asked, receipts)
        return Accepted(drawn.workflow, drawn.values, await self.results.enter(drawn.job), drawn.job)

    async def drawn(self, caller: Caller, asked: Asked, receipts: Receipts) -> Drawn:
        """The job that this would become; raises as `submit`. Only its files are there afterwards."""
        understood = await self.understood(caller, asked)
        found = await self._files(caller, understood, receipts)
        whole = with_files(understood, found)
        order = self.order(whole, asked)
        judged = await self.intake.judged(order)
        order = await self._keyed(caller, whole, order, judged)
        return Drawn(whole.workflow, whole.values, await self.intake.drawn_up(caller, order, judged))

    async def understood(self, caller: Caller, asked: Asked) -> Understood:
        """Everything that can be said without looking at a file.

        Raises WorkflowNotFound, InvalidParameter, InvalidInput.
        """
        owner = None if asked.shared else caller.account_id
        workflow = await self.registry.find(owner, asked.workflow_id, asked.version)
        given = given_to(workflow.manifest, asked)
        files = {
            one.name: parse_all(one.name, given[one.name])
            for one in workflow.manifest.parameters
            if one.kind.takes_files and given.get(one.name) is not None
        }
        stand_ins = {name: _stand_ins(workflow.manifest, name, several) for name, several in files.items()}
        found = values.read(workflow.manifest, given | stand_ins, models=self.models)
        return Understood(workflow, found, {name: files[name] for name in files if name in found.params})

    def order(self, understood: Understood, asked: Asked) -> Order:
        """What goes the way of every job, with what it was made of."""
        workflow, found = understood.workflow, understood.values
        graph = binding.bound(workflow.manifest, workflow.graph, found)
        return Order(
            workflow=graph,
            dialect=DIALECT,
            metadata=asked.metadata,
            idempotency=asked.idempotency,
            priority=asked.priority,
            size=NODE_BYTES * len(graph),
            run_timeout=self._run_timeout(workflow.manifest, graph),
            recipe=self._recipe(workflow, found, asked),
            price=MILLI * workflow.manifest.price,
        )

    async def _keyed(self, caller: Caller, understood: Understood, order: Order, judged: Judged) -> Order:
        """With what names its result, where that may be given again."""
        if order.recipe is None:
            return order
        workflow, drawn = understood.workflow, understood.values.drawn
        key = await self.results.key(caller.account_id, workflow, judged, order.recipe.finish, drawn=drawn)
        return replace(order, recipe=replace(order.recipe, cache_key=key))

    def _recipe(self, workflow: Workflow, found: Values, asked: Asked) -> Recipe:
        return Recipe(
            workflow=workflow.id,
            workflow_key=workflow.key,
            revision=workflow.revision,
            version=workflow.manifest.version,
            params=found.params,
            seed=found.seed,
            finish=self._finish(workflow, found, asked.wish),
            webhook=asked.webhook,
        )

    def _finish(self, workflow: Workflow, found: Values, wish: Wish) -> Finish:
        manifest = workflow.manifest
        usual = PictureFormat(manifest.format) if manifest.format else self.house.format
        return Finish(
            format=wish.format or usual,
            quality=wish.quality or self.house.quality,
            metadata=wish.metadata or self.house.metadata,
            nodes=binding.result_nodes(manifest, workflow.graph),
            said={
                "workflow": manifest.id,
                "version": manifest.version,
                "params": dict(found.params),
                "seed": found.seed,
            },
        )

    def _run_timeout(self, manifest: Manifest, graph: Graph) -> float | None:
        """Only where the graph's own nodes would say another kind: a server's limit goes before the usual one."""
        timeouts = self.house.timeouts
        if timeouts is None or made_by({str(node["class_type"]) for node in graph.values()}) == manifest.timeout:
            return None
        return timeouts.get(manifest.timeout)

    async def _files(
        self, caller: Caller, understood: Understood, receipts: Receipts
    ) -> dict[str, tuple[Asset, ...]]:
        found = await self.inputs.all(caller.account_id, understood.files, receipts)
        for mask, picture in masked(understood.workflow.manifest, found):
            await self._check_mask(mask, found[mask.name][0], picture, found[picture.name])
        return found

    async def _check_mask(
        self, mask: Parameter, masking: Asset, picture: Parameter, pictures: Sequence[Asset]
    ) -> None:
        """Raises InvalidInput: ComfyUI would stretch it, and what is painted would be somewhere else."""
        have = (await self.inputs.size(mask.name, masking)).stored
        for one in pictures:
            want = (await self.inputs.size(picture.name, one)).shown
            if have != want:
                said = f"it is {_spelled(have)}, {picture.name} is {_spelled(want)}: they must be of one size"
                raise InvalidInput(mask.name, said, "size_differs", size=list(have), wanted=list(want))


def given_to(manifest: Manifest, asked: Asked) -> dict[str, Any]:
    """Everything that was said, by the names of the workflow's parameters. Raises InvalidParameter."""
    said = {name: value for name, value in asked.params.items() if value is not None}
    top = {
        name: value
        for name, value in values.at_top(manifest, _beside(manifest, asked)).items()
        if value is not None
    }
    twice = [name for name in top if name in said and not values.same(said[name], top[name])]
    if twice:
        raise InvalidParameter([{"parameter": name, "message": "is said twice, and differs"} for name in twice])
    return said | top


def _beside(manifest: Manifest, asked: Asked) -> dict[str, Any]:
    """`input_images` are for whichever parameter takes several."""
    several = manifest.first(Kind.IMAGES)
    renamed = {"input_images": several.name} if several is not None else {}
    return {renamed.get(name, name): value for name, value in asked.beside.items()}


def masked(manifest: Manifest, found: Mapping[str, object]) -> list[tuple[Parameter, Parameter]]:
    """Each mask that is there, with the picture that it is laid upon: the first of the workflow."""
    there = [one for one in manifest.parameters if one.name in found]
    picture = next((one for one in there if one.kind in {Kind.IMAGE, Kind.IMAGES}), None)
    return [(one, picture) for one in there if one.kind is Kind.MASK and picture is not None]


def with_files(understood: Understood, found: Mapping[str, Sequence[Asset]]) -> Understood:
    """The same with the files that came in the place of what stood for them."""
    params = dict(understood.values.params)
    for name, several in found.items():
        ids = [str(asset.id) for asset in several]
        params[name] = ids if isinstance(params[name], list) else ids[0]
    return replace(understood, values=replace(understood.values, params=params), files={})


def _stand_ins(manifest: Manifest, name: str, several: Sequence[Named]) -> list[str] | str:
    parameter = manifest.parameter(name)
    if parameter is not None and parameter.kind is Kind.IMAGES:
        return [NOBODYS] * len(several)
    if len(several) != 1:
        raise InvalidInput(name, f"it takes one picture, not {len(several)}", "too_many")
    return NOBODYS


def _spelled(size: tuple[int, int]) -> str:
    return f"{size[0]} x {size[1]}"
