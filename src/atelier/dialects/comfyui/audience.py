"""The open sockets of one account and the prompts they hear of: who is told what, once, and never of another's.

Nothing here waits: the hub reads and tells; frames of running jobs come in between (wire contract 7.4).
"""

from collections.abc import Callable, Hashable, Iterable, Mapping
from typing import Any

from atelier.comfy.frames import PREVIEW_IMAGE_WITH_METADATA
from atelier.dialects.comfyui import wire
from atelier.dialects.comfyui.layouts import Reader, event, event_of, is_result, laid_out
from atelier.dialects.comfyui.runs import Run, Runs, run_of
from atelier.dialects.comfyui.sockets import Client, Farewell
from atelier.jobs.native import Entry
from atelier.jobs.relay import Frame, FrameKind

SILENT = frozenset({"execution_start", "execution_cached", "executing", "executed"})
"""What a prompt without a client id tells nobody; everything else of it is told to all."""

BEFORE_A_LOOK = frozenset({"progress_state", "progress"})
"""What ComfyUI tells before a preview in the old layout; a preview in the new one comes before its progress."""

WITH_METADATA = PREVIEW_IMAGE_WITH_METADATA.to_bytes(4, "big")


class Audience:
    """Sockets by their address; several may have one, and each of them is told everything."""

    def __init__(self) -> None:
        self.remaining = 0
        self.version = 1
        """Counts the states of the queue; a socket is told of each once at most."""

        self.runs = Runs()
        self._sockets: dict[str, list[Client]] = {}

    def __bool__(self) -> bool:
        """Whether anybody is here."""
        return bool(self._sockets)

    def join(self, client: Client, remaining: int | None = None) -> None:
        """Greet it, and from now on tell it what is for its address.

        `remaining` is what the greeting says is left to do: some clients take 0 for the end of what they sent.
        """
        self._sockets.setdefault(client.sid, []).append(client)
        client.told_version = self.version
        left = self.remaining if remaining is None else remaining
        client.put(event("status", {**_status(left), "sid": client.sid}))
        for executing in self.runs.executing_for(client.sid):
            client.put(executing)

    def leave(self, client: Client) -> None:
        """Others of the same address go on hearing."""
        here = self._sockets.get(client.sid, [])
        if client in here:
            here.remove(client)
        if not here:
            self._sockets.pop(client.sid, None)

    def close(self, farewell: Farewell) -> None:
        for client in self._everybody():
            client.close(farewell)

    def expect(self, run: Run) -> None:
        """A prompt that has not ended; what was heard of it too early is told now."""
        for known, frame in self.runs.expected(run):
            for body in known.take(frame):
                self._tell(known, frame, body)

    def hear(self, frame: Frame) -> None:
        """A message of a running job, to whom it is for."""
        for run, one in self.runs.heard(frame):
            for body in run.take(one):
                self._tell(run, one, body)

    def end(self, entry: Entry) -> None:
        """The job has ended and its history can be read: tell it, once."""
        self.expect(run_of(entry))
        run = self.runs.ended(entry.job.id)
        if run is None or run.never_ran(entry):
            return
        self._tell_look(run)
        if run.client_id is None:
            self._tell_all_if_interrupted(entry)
        for client in self._at(run.client_id):
            for kind, data in run.unheard(entry):
                client.put(event(kind, data))
            self._tell_status(client)
            client.put(event("executing", {"node": None, "prompt_id": entry.prompt_id}))

    def tell_status(self) -> None:
        """How much is left to do, to every socket that has not heard of this state of the queue."""
        for client in self._everybody():
            if client.told_version < self.version:
                self._tell_status(client)

    def _tell_status(self, client: Client) -> None:
        client.told_version = self.version
        client.put(event("status", _status(self.remaining)), "status")

    def _tell_all_if_interrupted(self, entry: Entry) -> None:
        """The only end of a prompt without a client that ComfyUI tells."""
        kind, data = wire.terminal(entry)
        if kind == wire.INTERRUPTED:
            for client in self._everybody():
                client.put(event(kind, data))

    def _tell(self, run: Run, frame: Frame, body: str | bytes) -> None:
        if isinstance(body, bytes):
            self._tell_raw(run, frame, body)
            return
        kind = event_of(body)
        if kind not in BEFORE_A_LOOK:
            self._tell_look(run)
        for client in self._hearers(run, silent=kind in SILENT):
            client.put(body, _key(frame, kind))
        if kind == "progress":
            self._tell_look(run)

    def _tell_raw(self, run: Run, frame: Frame, raw: bytes) -> None:
        if raw.startswith(WITH_METADATA):
            self._tell_look(run)
            run.look = frame
            self._tell_laid_out(run, frame, raw, lambda reader: reader.previews_with_metadata)
        else:
            self._tell_laid_out(run, frame, raw, lambda _: True)

    def _tell_look(self, run: Run) -> None:
        """A preview for those who read the old layout only: behind its progress (wire contract 7.6)."""
        frame, run.look = run.look, None
        if frame is not None and isinstance(frame.body, bytes):
            self._tell_laid_out(run, frame, frame.body, lambda reader: not reader.previews_with_metadata)

    def _tell_laid_out(self, run: Run, frame: Frame, raw: bytes, wanted: Callable[[Reader], bool]) -> None:
        key = None if is_result(raw) else _key(frame, "")
        made: dict[Reader, bytes] = {}
        for client in self._hearers(run, silent=False):
            reader = client.reader if run.client_id is not None else client.reader.without_metadata()
            if not wanted(reader):
                continue
            if reader not in made:
                made[reader] = laid_out(raw, run.prompt_id, reader)
            client.put(made[reader], key)

    def _hearers(self, run: Run, *, silent: bool) -> Iterable[Client]:
        if run.client_id is not None:
            return self._at(run.client_id)
        return () if silent else self._everybody()

    def _at(self, client_id: str | None) -> list[Client]:
        """An empty id, or one that nobody has, is nowhere."""
        return list(self._sockets.get(client_id, ())) if client_id is not None else []

    def _everybody(self) -> list[Client]:
        return [client for here in self._sockets.values() for client in here]


def _status(remaining: int) -> Mapping[str, Any]:
    return {"status": {"exec_info": {"queue_remaining": remaining}}}


def _key(frame: Frame, kind: str) -> Hashable | None:
    """What the next frame of the same kind may take the place of."""
    return None if frame.kind is FrameKind.STATE else (frame.job_id, frame.kind, kind)
