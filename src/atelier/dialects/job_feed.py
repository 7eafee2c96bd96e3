"""What happened to one job, event by event: each is told once, in order, the one that ends it last.

An event that the log has bears its number: whoever lost the stream names the last number that it had, and is told
all that came behind it and nothing else. Progress, previews and the place in the queue are the newest only; they
bear no number and are not told again.
"""

import asyncio
import base64
import contextlib
from collections.abc import Mapping, Sequence
from typing import Any

from atelier.dialects.asked import InvalidQuery, moment
from atelier.dialects.auth import Call
from atelier.dialects.jobs_v1_wire import output_shown
from atelier.jobs import service as jobs
from atelier.jobs.model import Event, Job, JobState, Progress
from atelier.jobs.store.reads import output_from_json
from atelier.kit import clock
from atelier.kit.database import Tx
from atelier.kit.http.answers import compact
from atelier.kit.http.sse import KEEPALIVE, encode
from atelier.kit.http.streamed import Emit
from atelier.kit.ids import AccountId, JobId

HEAL_SECONDS = 2.0
"""A wake-up that was lost costs so much."""

WATCH_SECONDS = 15.0
WATCH_AGAIN_SECONDS = 5.0


class EventFeed:
    """Reads one job whenever it is woken. `heard`: the number of the last event that its client has, 0: none."""

    def __init__(self, call: Call, owner: AccountId, job_id: JobId, heard: int, *, previews: bool) -> None:
        self._services = call.services
        self._call = call
        self._owner = owner
        self._id = job_id
        self._seq = heard
        self._previews = previews
        self._heard = contextlib.ExitStack()
        self._woken = self._heard.enter_context(call.services.wakeups.subscribe(f"job:{job_id}"))
        self._emitted_at = clock.monotonic()
        self._watched_at: float | None = None
        self._progress: Progress | None = None
        self._place: tuple[object, ...] | None = None
        self._preview = 0

    async def open(self) -> bool:
        """Whether there is anything to tell: False when the client has heard how the job ended.

        Whatever happens from here on is heard. Raises JobNotFound; InvalidQuery for a number that no event has.
        """
        with contextlib.ExitStack() as unless_told:
            unless_told.push(self._heard)
            async with self._services.database.autocommit() as tx:
                job = await jobs.read(tx, self._owner, self._id)
            if self._seq > job.event_seq:
                raise InvalidQuery(f"This job has no event {self._seq}: its last one is {job.event_seq}.")
            more = not (job.state.terminal and self._seq == job.event_seq)
            if more:
                unless_told.pop_all()
        return more

    async def run(self, emit: Emit) -> bytes:
        """Emit until the job has ended; its last words are given."""
        with self._heard:
            while (last := await self._turn(emit)) is None:
                await self._woken.wait(HEAL_SECONDS)
                if clock.monotonic() - self._emitted_at > self._services.keepalive:
                    await self._send(emit, [KEEPALIVE])
        return last

    async def _turn(self, emit: Emit) -> bytes | None:
        """Read and emit once. The last words when the job has ended, or is not there any more."""
        watched, ended = False, False
        async with self._services.database.autocommit() as tx:
            try:
                job = await jobs.read(tx, self._owner, self._id)
            except jobs.JobNotFound:
                return b""
            events = await self._behind(tx, job)
            news = [self._told(event) for event in events]
            ended = any(event.terminal for event in events)
            if not ended:
                news += await self._looks(tx, job)
            if job.state is JobState.RUNNING and self._previews and not ended:
                watched = await self._watch(tx)
        if watched:
            self._services.wakeups.publish("watch")
        if ended:
            return b"".join(news)
        await self._send(emit, news)
        return None

    async def _behind(self, tx: Tx, job: Job) -> Sequence[Event]:
        """All events that were not told yet. What the log has forgotten of an ended job is known by the job."""
        if job.event_seq <= self._seq:
            return ()
        events = await jobs.events_after(tx, self._owner, job.id, self._seq)
        if job.state.terminal and not (events and events[-1].terminal):
            events = [event for event in _end_of(job) if event.seq > self._seq]
        if events:
            self._seq = events[-1].seq
        return events

    def _told(self, event: Event) -> bytes:
        said: dict[str, Any] = {"job_id": str(self._id), "seq": event.seq, "at": moment(event.created_at)}
        told: dict[str, Any]
        match event.kind:
            case "output":
                shown = output_shown(output_from_json(event.data), self._call)
                told = {"output": shown, "note": event.data.get("note")}
            case "status":
                state = JobState(event.data["state"]).shown
                told = {**event.data, "state": state, "terminal": event.terminal}
            case _:
                told = dict(event.data)
        return encode(event.kind, compact(said | told), str(event.seq))

    async def _looks(self, tx: Tx, job: Job) -> list[bytes]:
        """What is only worth its newest value."""
        looks = [*await self._queue_news(tx, job), *self._progress_news(job.progress)]
        if job.state is JobState.RUNNING and self._previews:
            looks += await self._preview_news(tx)
        return looks

    async def _queue_news(self, tx: Tx, job: Job) -> list[bytes]:
        """Its place, when it or its reason is another."""
        prospect = await self._services.outlook.of(tx, job)
        place = (prospect.position, prospect.reason)
        if prospect.position is None or place == self._place:
            return []
        self._place = place
        eta = prospect.eta_seconds
        told = {
            "job_id": str(job.id),
            "position": prospect.position,
            "place": prospect.place,
            "eta_seconds": None if eta is None else round(eta, 1),
            "reason": prospect.reason,
        }
        return [encode("queue", compact(told))]

    def _progress_news(self, progress: Progress | None) -> list[bytes]:
        """Progress never goes back, also when the job began again on another server."""
        if progress is None or progress == self._progress:
            return []
        if self._progress is not None and progress.value < self._progress.value:
            return []
        self._progress = progress
        return [encode("progress", compact({"job_id": str(self._id), **progress.as_json()}))]

    async def _preview_news(self, tx: Tx) -> list[bytes]:
        preview = await jobs.preview_after(tx, self._id, self._preview)
        if preview is None:
            return []
        self._preview = preview.seq
        body = await asyncio.to_thread(base64.b64encode, preview.body)
        told: Mapping[str, Any] = {
            "job_id": str(self._id),
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

    async def _send(self, emit: Emit, news: list[bytes]) -> None:
        if news:
            await emit(b"".join(news))
            self._emitted_at = clock.monotonic()


def _end_of(job: Job) -> list[Event]:
    """The last events of an ended job, as its row knows them."""
    at = job.finished_at or job.created_at
    first = job.event_seq - len(job.outputs)
    outputs = [
        Event(seq, "output", terminal=False, data=output.as_json(), created_at=at)
        for seq, output in enumerate(job.outputs, first)
    ]
    told = {"state": job.state} | ({"error": job.error.as_json()} if job.error else {})
    return [*outputs, Event(job.event_seq, "status", terminal=True, data=told, created_at=at)]
