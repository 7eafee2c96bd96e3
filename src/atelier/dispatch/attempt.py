"""One attempt: placed, submitted, watched to its end; every step may be asked twice."""

import asyncio
import contextlib
import json
from collections.abc import AsyncGenerator, Sequence
from dataclasses import replace
from typing import Any

import psycopg
import structlog

from atelier.comfy.errors import ComfyError, LostServer, Rejected, Unexpected
from atelier.comfy.messages import Executing, ExecutionStart, Message, Preview
from atelier.dispatch.collect import saves_to_socket
from atelier.dispatch.ends import End, NotPlaced, NotSent
from atelier.dispatch.gauge import Gauge
from atelier.dispatch.host import Host
from atelier.dispatch.limits import limit
from atelier.dispatch.telling import Telling
from atelier.dispatch.told import Told
from atelier.dispatch.watch import Watch
from atelier.jobs.model import Cause, Claim
from atelier.kit import clock
from atelier.kit.errors import Refusal
from atelier.storage.model import StorageUnavailable

SERVER_ERROR = 500

STORAGE_REST = 10.0
"""Seconds until a job whose inputs cannot be read, because the storage is away, is placed again."""

_log = structlog.get_logger(__name__)


class Attempt:
    """The part of an attempt's life that occupies a server: `run` gives how it ended there."""

    def __init__(self, claim: Claim, host: Host, *, adopted: bool = False) -> None:
        self.claim = claim
        self.host = host
        self.prompt_id = str(claim.prompt_id)
        self.graph: dict[str, Any] = json.loads(claim.graph_text)
        self.limit = limit(claim, self.graph, host.server, host.settings)
        self.adopted = adopted
        self.cancel_asked = claim.canceling
        self.withdraw_asked = False
        self.evicted = ""
        self.submitted = adopted
        self.behind: Attempt | None = None
        self.sent = asyncio.Event()
        if adopted:
            self.sent.set()
        self.started_at: float | None = None
        self.ended_at: float | None = None
        self.started_write: asyncio.Task[None] | None = None
        self.started_timer: asyncio.TimerHandle | None = None
        self.frames: list[Preview] = []
        self.told = Told()
        self.telling = Telling(claim, claim.told, host.relay, adopted=adopted) if claim.told else None
        self.watch = Watch(self)
        self._gauge = Gauge(self.graph)
        self._savers = saves_to_socket(self.graph)
        self._node: str | None = None
        self._scope: asyncio.Timeout | None = None
        if claim.attempt_state == "running":
            self.started_at = clock.monotonic() - claim.ran

    # What the socket and the dispatcher say ----------------------------------------------------

    def hear(self, message: Message, frame: str | bytes) -> None:
        """A message of the server that belongs to this prompt, and the frame that it came in."""
        now = self.watch.hear()
        if isinstance(message, Preview) and message.node_id is None:
            message = replace(message, node_id=self._node)
        self.told.hear(message, self.host.epoch)
        if self.telling is not None:
            result = isinstance(message, Preview) and message.node_id in self._savers
            self.telling.hear(message, frame, result=result)
        match message:
            case ExecutionStart():
                self.note_started()
            case Executing(node=None):
                self.ended_at = now
                self.watch.finish()
                self.host.let_go(self)
            case Preview(node_id=node) if node in self._savers:
                self.frames.append(message)
            case Preview(node_id=node, content_type=content_type, image=image):
                self.host.telemetry.preview(self.claim.job_id, node or "", content_type, image)
            case _:
                self._node = message.node if isinstance(message, Executing) else self._node
                progress = self._gauge.take(message)
                if progress is not None:
                    self.host.telemetry.progress(self.claim.job_id, progress)

    async def tell_all(self) -> None:
        """It is over: before anybody is told so, all else can be heard, wherever its client listens."""
        if self.telling is not None:
            await self.telling.flush()

    def ran(self) -> float:
        """Seconds since the server began it, as far as we know."""
        return 0.0 if self.started_at is None else clock.monotonic() - self.started_at

    def forget_start(self) -> bool:
        """Call off the note that it began; True when it had begun and the note was still to come."""
        if self.started_timer is None:
            return False
        self.started_timer.cancel()
        return self.started_write is None

    def note_started(self) -> None:
        if self.telling is not None:
            self.telling.begun()
        if self.started_at is None:
            self.started_at = clock.monotonic()
            self.host.started(self)

    def cancel(self) -> None:
        self.cancel_asked = True
        self._break_off()
        self.watch.poke()

    def withdraw(self) -> None:
        """Ask for this prompt back, unless it begins first."""
        self.withdraw_asked = True
        self.watch.poke()

    def evict(self, reason: str) -> None:
        """The server is quarantined: leave it, with the result if there is one already."""
        self.evicted = reason
        self._break_off()
        self.watch.poke()

    def look_now(self) -> None:
        """Something happened to the server: ask it soon."""
        self.watch.look_now()

    def _break_off(self) -> None:
        scope, self._scope = self._scope, None
        if scope is not None:
            scope.reschedule(asyncio.get_running_loop().time())

    @contextlib.asynccontextmanager
    async def breakable(self) -> AsyncGenerator[None]:
        """What is awaited in here ends at once, with TimeoutError, when a cancel or a quarantine comes."""
        try:
            async with asyncio.timeout(None) as self._scope:
                yield
        finally:
            self._scope = None

    # Its way through the server ----------------------------------------------------------------

    async def run(self) -> End | None:
        """Bring the prompt to the server and watch it to its end; None when it was canceled before that."""
        if not self.submitted:
            try:
                refused = None if self.cancel_asked else await self._bring()
                if isinstance(refused, Rejected) and self.host.placer.lacks(refused):
                    refused = await self._bring()  # once: somebody removed an input that lay there
            finally:
                self.sent.set()
                self.behind = None  # else each prompt would keep all those before it in memory
            if not self.submitted:
                return refused
        return await self.watch.run()

    async def _bring(self) -> Rejected | NotPlaced | NotSent | None:
        """Place its inputs and submit it; a cancel, or a quarantine, breaks off what may take long."""
        if self.evicted:
            return NotSent(self.evicted)
        try:
            async with self.breakable():
                placed = await self._place()
                if self.behind is not None:
                    await self.behind.sent.wait()  # as long as its uploads and submit may take, which are bounded
        except TimeoutError:
            return None if self.cancel_asked else NotSent(self.evicted)
        return await self._post(placed) if isinstance(placed, dict) else placed

    async def _place(self) -> dict[str, Any] | NotPlaced | NotSent:
        try:
            if self.telling is not None:
                await self.telling.begin()
            return await self.host.placer.place(self.claim.job_id, self.prompt_id, self.graph)
        except LostServer as lost:
            self.host.trouble(str(lost))
            return NotSent(str(lost)) if lost.never_sent else NotPlaced(str(lost), Cause.SERVER_LOST)
        except psycopg.OperationalError as error:
            return NotSent(str(error))
        except StorageUnavailable as refusal:
            return NotSent(refusal.message, STORAGE_REST)
        except Unexpected as error:
            return NotPlaced(str(error), Cause.UPLOAD_FAILED if error.status >= SERVER_ERROR else None)
        except (ComfyError, Refusal, OSError) as error:
            return NotPlaced(str(error))

    async def _post(self, placed: dict[str, Any]) -> Rejected | NotSent | None:
        if self.telling is not None:
            self.telling.placed(placed)
        self.watch.sending()
        try:
            await self.host.client.submit(
                placed,
                prompt_id=self.prompt_id,
                client_id=self.host.client_id,
                extra_data=self._extra_data(),
                targets=self._targets(),
            )
        except Rejected as rejected:
            return rejected
        except ComfyError as error:
            if isinstance(error, LostServer) and error.never_sent:
                self.host.trouble(str(error))
                return NotSent(str(error))
            _log.warning("attempt.submit_in_doubt", job=str(self.claim.job_id), reason=str(error))
            self.host.trouble(str(error))
            self.watch.doubt()
        self.submitted = True
        return None

    def _extra_data(self) -> dict[str, Any]:
        told = self.telling.extra_data() if self.telling is not None else {}
        return told | dict(self.claim.secrets or {})

    def _targets(self) -> Sequence[str] | None:
        if self.telling is None:
            return None
        inventory = self.host.inventory
        return self.telling.targets(self.graph, inventory.catalog if inventory else None)
