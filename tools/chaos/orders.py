"""What the clients of a run ask for: each job is its own, so that its picture tells which job made it."""

import io
import json
import random
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from PIL import Image

from tools.chaos.plan import Plan

Graph = dict[str, dict[str, Any]]

SIDE = 64
CHECKPOINTS = ("simulated_xl.safetensors", "simulated_v1.safetensors")
ENDLESS_STEPS = 10_000
MOST_ENDLESS = 3
CANCELED = 0.05


class Sort(StrEnum):
    """What a job is made of; `FAILING` and `ENDLESS` are meant to fail."""

    PLAIN = "plain"
    SAMPLED = "sampled"
    INPUT = "input"
    FAILING = "failing"
    ENDLESS = "endless"


@dataclass(frozen=True, slots=True)
class Order:
    """`cancel_after` seconds its client asks for its end; `listens` to events, or else polls."""

    number: int
    sort: Sort
    steps: int
    checkpoint: str
    listens: bool
    cancel_after: float | None

    @property
    def color(self) -> tuple[int, int, int]:
        """Far from that of any other job: an inverted one is off by one where ComfyUI rounds down."""
        return self.number // 1024 % 32 * 8, self.number // 32 % 32 * 8, self.number % 32 * 8

    def graph(self, asset_id: str = "") -> Graph:
        """In API format; `asset_id` is the uploaded picture of an `INPUT`."""
        match self.sort:
            case Sort.PLAIN:
                return _plain(self.color)
            case Sort.FAILING:
                return _failing(self.color)
            case Sort.INPUT:
                return _inverted(asset_id)
            case _:
                return _sampled(self.number, self.steps, self.checkpoint)

    def upload(self) -> bytes:
        """The PNG that an `INPUT` brings along."""
        made = io.BytesIO()
        Image.new("RGB", (SIDE, SIDE), self.color).save(made, "PNG")
        return made.getvalue()

    def is_right(self, picture: bytes) -> bool:
        """Whether these bytes are the picture that this order asks for."""
        try:
            with Image.open(io.BytesIO(picture)) as image:
                image.load()
                return image.size == (SIDE, SIDE) and self._shows(image)
        except (OSError, ValueError, KeyError):
            return False

    def _shows(self, image: Image.Image) -> bool:
        match self.sort:
            case Sort.PLAIN:
                return _near(image, self.color)
            case Sort.INPUT:
                return _near(image, tuple(255 - part for part in self.color))
            case _:
                said = json.loads(image.info["prompt"])
                return bool(said["5"]["inputs"]["seed"] == self.number)


def orders(plan: Plan) -> Sequence[Order]:
    """The same for the same seed."""
    chance = random.Random(plan.seed)  # noqa: S311 - the same jobs in every run of this seed
    endless = set(chance.sample(range(plan.jobs), min(MOST_ENDLESS, plan.jobs // 50)))
    return [_order(plan, number, chance, endless=number in endless) for number in range(plan.jobs)]


def _order(plan: Plan, number: int, chance: random.Random, *, endless: bool) -> Order:
    sorts = (Sort.PLAIN, Sort.SAMPLED, Sort.INPUT, Sort.FAILING)
    [drawn] = chance.choices(sorts, weights=(20, 67, 10, 3))
    steps = chance.randint(*plan.steps)
    checkpoint, listens = chance.choice(CHECKPOINTS), chance.random() < 0.5
    cancel_after = chance.uniform(0, 4 * plan.steps[1] * plan.step_seconds)
    canceled = chance.random() < CANCELED and not endless
    return Order(
        number=number,
        sort=Sort.ENDLESS if endless else drawn,
        steps=ENDLESS_STEPS if endless else steps,
        checkpoint=checkpoint,
        listens=listens,
        cancel_after=cancel_after if canceled else None,
    )


def _near(image: Image.Image, color: Sequence[int]) -> bool:
    shown = image.convert("RGB").tobytes()[:3]
    return all(abs(ours - theirs) <= 1 for ours, theirs in zip(color, shown, strict=True))


def _colored(color: Sequence[int]) -> dict[str, Any]:
    number = int.from_bytes(bytes(color), "big")
    return _node("EmptyImage", width=SIDE, height=SIDE, batch_size=1, color=number)


def _plain(color: Sequence[int]) -> Graph:
    return {
        "1": _colored(color),
        "2": _node("SaveImage", images=["1", 0], filename_prefix="chaos"),
    }


def _failing(color: Sequence[int]) -> Graph:
    return {
        "1": _colored(color),
        "2": _node("TestSyncError", value=["1", 0]),
        "3": _node("SaveImage", images=["2", 0], filename_prefix="chaos"),
    }


def _inverted(asset_id: str) -> Graph:
    return {
        "1": _node("LoadImage", image={"__type": "core/ASSET", "info": {"id": asset_id}}),
        "2": _node("ImageInvert", image=["1", 0]),
        "3": _node("SaveImage", images=["2", 0], filename_prefix="chaos"),
    }


def _sampled(seed: int, steps: int, checkpoint: str) -> Graph:
    return {
        "1": _node("CheckpointLoaderSimple", ckpt_name=checkpoint),
        "2": _node("CLIPTextEncode", text="a lighthouse", clip=["1", 1]),
        "3": _node("CLIPTextEncode", text="blurry", clip=["1", 1]),
        "4": _node("EmptyLatentImage", width=SIDE, height=SIDE, batch_size=1),
        "5": _node(
            "KSampler",
            model=["1", 0],
            positive=["2", 0],
            negative=["3", 0],
            latent_image=["4", 0],
            seed=seed,
            steps=steps,
            cfg=7.0,
            sampler_name="euler",
            scheduler="normal",
            denoise=1.0,
        ),
        "6": _node("VAEDecode", samples=["5", 0], vae=["1", 2]),
        "7": _node("SaveImage", images=["6", 0], filename_prefix="chaos"),
    }


def _node(class_type: str, **inputs: object) -> dict[str, Any]:
    return {"class_type": class_type, "inputs": inputs}
