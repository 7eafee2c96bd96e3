"""`./run bench pictures`: what a format costs, beside the bare encoder in the same run, and the loop beside it."""

import asyncio
import io
import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any

import uvloop
from PIL import Image
from rich.table import Table

from atelier.assets.pictures import convert
from atelier.assets.pictures.encoding import WEBP_METHOD
from atelier.assets.pictures.model import Delivered, Delivery, Metadata, PictureFormat
from atelier.assets.spool import hashed
from atelier.dispatch.finishing import Finishing
from atelier.kit import clock
from tools.bench import page
from tools.bench.pictures.sources import sources
from tools.bench.report import about
from tools.bench.section import Answer, Asked, Say

MARK = "pictures"
SIDE = 1024
FORMATS = (PictureFormat.WEBP, PictureFormat.JPEG, PictureFormat.AVIF, PictureFormat.PNG)
SAID = {
    "workflow": "text-to-image",
    "version": "1.0",
    "params": {"prompt": "a lighthouse on a cliff at dusk, oil painting", "steps": 20, "cfg": 7.0},
    "seed": 42,
}
HEAD = ("1024 x 1024, from PNG, CPU", "encoder alone", "with EXIF and XMP", "size", "of the PNG")
LOOP_HEAD = ("Loop of a dispatcher while pictures are made", "late, p50 / p99 / most", "pictures")

TICK = 0.002
"""Seconds between two looks of the loop at the clock."""


def pictures(asked: Asked) -> Answer:
    """Good when every picture came out in its format."""
    rounds = 3 if asked.quick else 12
    content = sources(SIDE)
    rows = [_row(asked.say, name, one, form, rounds) for name, one in content.items() for form in FORMATS]
    asked.say("a loop beside it")
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        loops = [runner.run(_loop(content["photograph"], form, rounds)) for form in (None, *FORMATS[:3])]
    found = about(quick=asked.quick) | {"rows": rows, "loop": loops, "rounds": rounds}
    if asked.write_docs:
        page.write(MARK, _spelled(found))
    return Answer(found, _tables(found), good=all(row["right"] for row in rows))


def _row(say: Say, name: str, content: bytes, form: PictureFormat, rounds: int) -> dict[str, Any]:
    """Both ways in turns, so that whatever else the machine does meets both alike. Milliseconds, bytes."""
    say(f"{name} to {form}")
    alone: list[float] = []
    whole: list[float] = []
    wanted, made = delivery(form), Delivered(b"")
    for _ in range(rounds):
        alone.append(_timed(lambda: _encoded(content, form))[0])
        seconds, result = _timed(lambda: convert.picture(content, wanted))
        whole.append(seconds)
        made = result or made
    return {
        "source": name,
        "format": str(form),
        "alone_ms": statistics.median(alone),
        "whole_ms": statistics.median(whole),
        "bytes": len(made.content),
        "png_bytes": len(content),
        "right": _format_of(made.content) == form.upper(),
    }


def delivery(form: PictureFormat) -> Delivery:
    return Delivery(form, 80, Metadata.KEEP, clock.utcnow(), SAID)


def _timed(work: Callable[[], Any]) -> tuple[float, Any]:
    """Milliseconds of CPU: what waits for another program's turn is not the encoder's."""
    began = time.thread_time()
    result = work()
    return (time.thread_time() - began) * 1000, result


def _encoded(content: bytes, form: PictureFormat) -> bytes:
    """Pillow's own reader and writer with our options, and not a word."""
    into = io.BytesIO()
    with Image.open(io.BytesIO(content)) as image:
        match form:
            case PictureFormat.WEBP:
                image.save(into, "WEBP", quality=80, method=WEBP_METHOD)
            case PictureFormat.JPEG:
                image.save(into, "JPEG", quality=80, optimize=True)
            case PictureFormat.AVIF:
                image.save(into, "AVIF", quality=80, speed=8, max_threads=1)
            case _:
                image.save(into, "PNG", compress_level=4)
    return into.getvalue()


def _format_of(content: bytes) -> str | None:
    with Image.open(io.BytesIO(content)) as image:
        image.load()
        return image.format


async def _loop(content: bytes, form: PictureFormat | None, rounds: int) -> dict[str, Any]:
    """How late the loop looks at the clock while files wait for their turn; `form` None: with nothing to do."""
    finishing, body = Finishing(), await hashed(content)
    late: list[float] = []
    async with asyncio.TaskGroup() as group:
        ticking = group.create_task(_ticks(late))
        if form is None:
            await asyncio.sleep(1.0)
        else:
            async with asyncio.TaskGroup() as work:
                for _ in range(rounds):
                    work.create_task(finishing.finished(body, "x.png", delivery(form)))
        ticking.cancel()
    late.sort()
    shares = {"p50": late[len(late) // 2], "p99": late[len(late) * 99 // 100], "most": late[-1]}
    return {"format": str(form or "nothing"), "pictures": rounds if form else 0, **shares}


async def _ticks(late: list[float]) -> None:
    while True:
        began = time.perf_counter()
        await asyncio.sleep(TICK)
        late.append((time.perf_counter() - began - TICK) * 1000)


def _rows(found: dict[str, Any]) -> Sequence[Sequence[str]]:
    return [
        (
            f"{row['source']} to {row['format']}",
            f"{row['alone_ms']:.0f} ms",
            f"{row['whole_ms']:.0f} ms ({row['whole_ms'] / row['alone_ms']:.2f} x)",
            f"{row['bytes'] / 1000:.0f} kB",
            f"{row['bytes'] / row['png_bytes']:.1%} of {row['png_bytes'] / 1000:.0f} kB",
        )
        for row in found["rows"]
    ]


def _loops(found: dict[str, Any]) -> Sequence[Sequence[str]]:
    return [
        (
            str(each["format"]),
            f"{each['p50']:.1f} / {each['p99']:.1f} / {each['most']:.1f} ms",
            str(each["pictures"]),
        )
        for each in found["loop"]
    ]


def _tables(found: dict[str, Any]) -> list[Table]:
    shown = [Table(*HEAD), Table(*LOOP_HEAD)]
    for table, rows in zip(shown, (_rows(found), _loops(found)), strict=True):
        for row in rows:
            table.add_row(*row)
    return shown


def _spelled(found: dict[str, Any]) -> str:
    """The same as Markdown."""
    return "\n\n".join(
        (page.measured(found), page.table(HEAD, _rows(found)), page.table(LOOP_HEAD, _loops(found)))
    )
