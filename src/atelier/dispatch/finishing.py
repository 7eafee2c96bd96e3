"""Which of a run's files are its result, and what they become before anybody has them.

A file that cannot be converted is delivered as its node saved it, and its output says why: a job that ran well
never fails for the form of what it made. Conversion is the work of few threads, so servers are fed meanwhile.
"""

import mimetypes
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath

import structlog

from atelier.assets.content_types import sniff
from atelier.assets.pictures import convert
from atelier.assets.pictures.model import Delivered, Delivery, Metadata
from atelier.assets.pictures.reading import MOST_ENCODED, PictureTooLarge, pixels_of
from atelier.assets.pictures.turns import SMALL, Turns
from atelier.assets.spool import Spooled
from atelier.comfy.client import HistoryEntry, OutputItem
from atelier.comfy.messages import Preview
from atelier.jobs.recipe import Finish
from atelier.kit import clock
from atelier.kit.errors import Refusal
from atelier.storage.threads import in_thread

_log = structlog.get_logger(__name__)

PATIENCE = 300.0
"""Seconds that a file waits for its turn before it is delivered as it is."""

_SUFFIXES = frozenset(
    {".png", ".apng", ".jpg", ".jpeg", ".jfif", ".webp", ".avif", ".gif", ".bmp", ".tif", ".tiff", ".ppm", ".tga"}
)
"""What nodes call the pictures that can be read here; the tables of a machine do not know all of them."""

_AT_ONCE = max(1, min(4, (os.cpu_count() or 2) - 1))
"""Pictures that are converted at the same time: one core is left to the loop that feeds the servers."""


@dataclass(frozen=True, slots=True)
class Finished:
    """What is stored instead of a file: `made` None, the file itself. `note` says why it was not converted."""

    made: Delivered | None = None
    note: str = ""


@dataclass(frozen=True, slots=True)
class Finishing:
    """One per dispatcher, whatever the number of its servers."""

    turns: Turns = field(default_factory=lambda: Turns(PATIENCE, _AT_ONCE))

    async def finished(self, body: Spooled, name: str, delivery: Delivery) -> Finished:
        """The file as it is delivered; never raises for what the file holds."""
        try:
            return Finished(await self._made(body, sniff(body.head), delivery))
        except Refusal as refusal:
            reason = refusal.message
        except Exception as error:  # noqa: BLE001 - whatever a codec trips over, the run's result is there
            reason = f"The converter failed ({type(error).__name__})."
            _log.exception("pictures.crashed", name=name)
        _log.warning("pictures.left_as_it_is", name=name, wanted=str(delivery.format), reason=reason)
        return Finished(await self._silenced(body, delivery), reason)

    async def _silenced(self, body: Spooled, delivery: Delivery) -> Delivered | None:
        """What stays in its format says all the same no more than it may, wherever that can be had."""
        if delivery.metadata is Metadata.KEEP or body.size > MOST_ENCODED:
            return None
        try:
            async with self.turns.turn(SMALL + 1):
                return await in_thread(convert.silenced, body.content, sniff(body.head), delivery)
        except Refusal:
            return None

    async def _made(self, body: Spooled, content_type: str, delivery: Delivery) -> Delivered | None:
        if body.size > MOST_ENCODED:
            raise PictureTooLarge
        if _is_medium(content_type):
            async with self.turns.turn(SMALL + 1):
                return await in_thread(convert.medium, body.content, content_type, delivery)
        async with self.turns.turn(await in_thread(pixels_of, body.content)):
            return await in_thread(convert.picture, body.content, delivery)


def delivery_of(finish: Finish) -> Delivery:
    """As of now."""
    return Delivery(finish.format, finish.quality, finish.metadata, clock.utcnow(), finish.said)


def concerns(delivery: Delivery, name: str, told: str) -> bool:
    """Whether a file of this name, and of this type as its server tells it, may change; then all of it is held."""
    if delivery.untouched:
        return False
    guess = mimetypes.guess_type(name)[0] or told
    return _is_picture(name) or (_is_medium(guess) and delivery.metadata is not Metadata.KEEP)


def renamed(name: str, made: Delivered | None) -> str:
    """`x_00001_.png` is x_00001_.webp, once it is one."""
    if made is None or not made.suffix:
        return name
    path = PurePosixPath(name)
    return str(path.with_suffix(made.suffix)) if _is_picture(name) else f"{name}{made.suffix}"


def results(
    entry: HistoryEntry, frames: Sequence[Preview], finish: Finish
) -> tuple[list[OutputItem], list[Preview]]:
    """The files and frames that are delivered: those of the named nodes, and never what was only for the eye.

    Where none of the named nodes saved anything, all that was saved is the result: what a manifest names may be
    muted in this run, or be a node that became others while it ran, and nobody should pay for a run without files.
    """
    saved = [item for item in entry.outputs if item.type not in {"input", "temp"}]
    named = [item for item in saved if item.node_id in finish.nodes]
    shown = [frame for frame in frames if frame.node_id in finish.nodes]
    return (named, shown) if named or shown else (saved, list(frames))


def _is_picture(name: str) -> bool:
    return PurePosixPath(name).suffix.lower() in _SUFFIXES


def _is_medium(content_type: str) -> bool:
    return content_type.startswith(("video/", "audio/"))
