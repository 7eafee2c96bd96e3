"""Native prompts and what their clients are told of them, on a ground without the API."""

import asyncio
import contextlib
import json
import uuid
from collections.abc import AsyncGenerator, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from atelier.intake import native
from atelier.intake.native import NativeOrder
from atelier.jobs.model import Job
from atelier.jobs.native import Entry, entry
from atelier.jobs.prompt import Report
from atelier.jobs.relay import Frame, FrameKind, Relay
from support.fleet import Ground

CLIENT = "the client"


@dataclass
class Line:
    """Everything that an account's sockets are given."""

    frames: list[Frame] = field(default_factory=list[Frame])
    more: asyncio.Event = field(default_factory=asyncio.Event)

    def hear(self, frame: Frame) -> None:
        self.frames.append(frame)
        self.more.set()

    async def until(self, enough: Callable[["Line"], bool], seconds: float = 30) -> None:
        async with asyncio.timeout(seconds):
            while not enough(self):
                await self.more.wait()
                self.more.clear()

    def messages(self, job: Job | None = None) -> list[tuple[str, dict[str, Any]]]:
        """The texts in order, as (type, data)."""
        return [
            (document["type"], document["data"])
            for frame in self.frames
            if isinstance(frame.body, str) and (job is None or frame.job_id == job.id)
            for document in [json.loads(frame.body)]
        ]

    def types(self, job: Job | None = None) -> list[str]:
        return [event for event, _ in self.messages(job)]

    def data(self, event: str, job: Job | None = None) -> list[dict[str, Any]]:
        return [data for found, data in self.messages(job) if found == event]

    def pictures(self, kind: FrameKind) -> list[bytes]:
        return [frame.body for frame in self.frames if isinstance(frame.body, bytes) and frame.kind is kind]


@contextlib.asynccontextmanager
async def line_of(ground: Ground, relay: Relay | None = None) -> AsyncGenerator[Line]:
    line = Line()
    async with (relay or ground.relay).listen(ground.caller.account_id, line.hear):
        yield line


async def submit(ground: Ground, graph: Mapping[str, Any], **order: Any) -> Job:
    """A prompt of a client's own id, unless the order says otherwise."""
    usual: dict[str, Any] = {"client_id": CLIENT, "prompt_id": uuid.uuid4()}
    submitted = await native.submit(ground.intake, ground.caller, NativeOrder(graph, **(usual | order)))
    return submitted.job


async def shown(ground: Ground, job: Job) -> Entry:
    """The job as the native API shows it."""
    prompt_id = await prompt_id_of(ground, job)
    async with ground.database.transaction() as tx:
        found = await entry(tx, ground.caller.account_id, prompt_id)
    assert found is not None
    return found


async def report_of(ground: Ground, job: Job) -> Report:
    """What was stored of its run; there must be something."""
    report = (await shown(ground, job)).report
    assert report is not None
    return report


async def prompt_id_of(ground: Ground, job: Job) -> str:
    async with ground.database.autocommit() as tx:
        rows = await tx.execute("SELECT coalesce(native_prompt_id, id)::text FROM jobs WHERE id = %s", (job.id,))
        row = await rows.fetchone()
    assert row is not None
    return str(row[0])
