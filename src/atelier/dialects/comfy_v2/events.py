"""The event stream of a job: where it stands, then what changes; outputs first, the terminal status last."""

import asyncio
import base64
import contextlib
from collections.abc import Mapping
from typing import Any

from atelier.dialects.auth import Call
from atelier.dialects.comfy_v2.wire import Speller
from atelier.jobs import service as jobs
from atelier.jobs.model import Event, Job, JobState, Progress
from atelier.kit import clock
from atelier.kit.database import Tx
from atelier.kit.http.answers import compact
from atelier.kit.http.sse import KEEPALIVE, encode
from atelier.kit.http.streamed import Emit
from atelier.kit.ids import JobId

LOOK_SECONDS = 2.0
PREVIEWS_AFTER_SECONDS = 0.25
WATCH_SECONDS = 15.0
WATCH_AGAIN_SECONDS = 5.0


class JobFeed:
    """Reads one job again and again, whenever it is woken, and emits what its client has not heard yet."""

    def __init__(self, call: Call, speller: Speller, job_id: JobId) -> None:
        self._services = call.services
        self._account = call.caller.account_id
        self._speller = speller
        self._id = job_id
        self._heard = contextlib.ExitStack()
        self._woken = self._heard.enter_context(call.services.wakeups.subscribe(f"job:{job_id}"))
        self._job: Job | None = None
        self._began = clock.monotonic()
        self._emitted_at = self._began
        self._watched_at: float | None = None
        self._seq: int | None = None
        self._status: dict[str, Any] = {}
        self._progress: Progress | None = None
        self._preview = 0

    async def open(self) -> None:
        """Read the job. Raises JobNotFound. Whatever happens to it from here on is heard."""
        with contextlib.ExitStack() as unless_read:
            unless_read.push(self._heard)
            async with self._services.database.autocommit() as tx:
                self._job = await jobs.read(tx, self._account, self._id)
            unless_read.pop_all()

    async def run(self, emit: Emit) -> bytes:
        """Emit until the job has ended; its last words are given."""
        with self._heard:
            while (last := await self._turn(emit)) is None:
                await self._woken.wait(self._patience())
                if clock.monotonic() - self._emitted_at > self._services.keepalive:
                    await self._send(emit, [KEEPALIVE])
        return last

    async def _turn(self, emit: Emit) -> bytes | None:
        """Read and emit once. The last words when the job has ended."""
        watched = False
        async with self._services.database.autocommit() as tx:
            job = self._job or await jobs.read(tx, self._account, self._id)
            self._job = None
            news = await self._news(tx, job)
            if job.state is JobState.RUNNING and self._wants_previews():
                news += await self._previews(tx)
                watched = await self._watch(tx)
        if watched:
            self._services.wakeups.publish("watch")
        if job.state.terminal:
            return b"".join(news)
        await self._send(emit, news)
        return None

    async def _news(self, tx: Tx, job: Job) -> list[bytes]:
        news: list[bytes] = []
        if self._seq is not None and _tells_more(job, self._seq):
            for event in await jobs.events_after(tx, self._account, job.id, self._seq):
                news += self._past(event, job.event_seq)
        self._seq = job.event_seq
        if job.state.terminal:
            news += [encode("output", compact(self._speller.output(job.id, output))) for output in job.outputs]
        news += self._status_news(job.state, await self._services.outlook.position(tx, job))
        return news + self._progress_news(job.progress)

    def _past(self, event: Event, newest: int) -> list[bytes]:
        """What happened between two readings; the newest event is the state that the job was read in."""
        match event.kind, event.data:
            case "status", {"state": str(state)} if event.seq < newest and not event.terminal:
                return self._status_news(JobState(state), None)
            case "retry", {"reason": str(reason)}:
                told = {"level": "warning", "message": f"Trying again: {reason}."}
                return [encode("log", compact(told))]
            case _:
                return []

    def _status_news(self, state: JobState, place: int | None) -> list[bytes]:
        status: dict[str, Any] = {"status": state.shown}
        if place is not None:
            status["queue_position"] = place
        if status == self._status:
            return []
        self._status = status
        return [encode("status", compact(status))]

    def _progress_news(self, progress: Progress | None) -> list[bytes]:
        """Progress never goes back, also when the job began again on another server."""
        if progress is None or progress == self._progress:
            return []
        if self._progress is not None and progress.value < self._progress.value:
            return []
        self._progress = progress
        return [encode("progress", compact(progress.as_json()))]

    def _wants_previews(self) -> bool:
        return clock.monotonic() - self._began >= PREVIEWS_AFTER_SECONDS

    async def _previews(self, tx: Tx) -> list[bytes]:
        preview = await jobs.preview_after(tx, self._id, self._preview)
        if preview is None:
            return []
        self._preview = preview.seq
        body = await asyncio.to_thread(base64.b64encode, preview.body)
        told: Mapping[str, Any] = {
            "node_id": preview.node_id,
            "content_type": preview.content_type,
            "data_base64": body.decode("ascii"),
        }
        return [encode("preview", compact(told))]

    async def _watch(self, tx: Tx) -> bool:
        """Previews are made only while somebody asks for them, again and again."""
        now = clock.monotonic()
        if self._watched_at is not None and now - self._watched_at < WATCH_AGAIN_SECONDS:
            return False
        self._watched_at = now
        await jobs.watch(tx, self._id, WATCH_SECONDS)
        return True

    def _patience(self) -> float:
        return LOOK_SECONDS if self._wants_previews() else PREVIEWS_AFTER_SECONDS

    async def _send(self, emit: Emit, news: list[bytes]) -> None:
        if news:
            await emit(b"".join(news))
            self._emitted_at = clock.monotonic()


def _tells_more(job: Job, seq: int) -> bool:
    """Whether the log knows something that the job does not say: a state passed through, or a retry.

    A good end is one event for each output and one for the state.
    """
    of_end = 1 + (len(job.outputs) if job.state is JobState.SUCCEEDED else 0)
    return job.event_seq > seq + of_end or (job.event_seq > seq and job.state is JobState.QUEUED)
