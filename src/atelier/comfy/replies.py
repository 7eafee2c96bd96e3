"""What /queue and /history say, as values; the verdict on a run comes from its messages, not from status_str."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

JsonObject = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class QueueItem:
    """One prompt in a server's queue. Lower numbers run first."""

    number: float
    prompt_id: str
    client_id: str | None


@dataclass(frozen=True, slots=True)
class QueueSnapshot:
    """`pending` in the order in which it will run: the wire has it in heap order (behaviour 23)."""

    running: tuple[QueueItem, ...]
    pending: tuple[QueueItem, ...]

    def position(self, prompt_id: str) -> int | None:
        """0 when it runs, 1 when it is next, None when it is not in the queue."""
        if any(item.prompt_id == prompt_id for item in self.running):
            return 0
        waiting = (place for place, item in enumerate(self.pending, 1) if item.prompt_id == prompt_id)
        return next(waiting, None)


@dataclass(frozen=True, slots=True)
class OutputItem:
    """One thing that a node showed: a file (`filename`) or a text (`text`).

    `ordinal` counts from 0 within the run, in the server's order. `type` is "output", "temp" or "input" (empty
    for a text); `extra` has what custom nodes added.
    """

    node_id: str
    media_key: str
    filename: str | None
    subfolder: str
    type: str
    text: str | None
    ordinal: int
    extra: JsonObject = field(default_factory=dict[str, Any])


@dataclass(frozen=True, slots=True)
class Success:
    pass


@dataclass(frozen=True, slots=True)
class Failed:
    """`data` is that of the execution_error; empty when the server kept none."""

    data: JsonObject


@dataclass(frozen=True, slots=True)
class Interrupted:
    pass


Verdict = Success | Failed | Interrupted


@dataclass(frozen=True, slots=True)
class HistoryEntry:
    """A finished run. A failed one can have outputs. `raw` is the entry as the server gave it."""

    prompt_id: str
    outputs: tuple[OutputItem, ...]
    verdict: Verdict
    messages: tuple[tuple[str, JsonObject], ...]
    raw: JsonObject


def parse_queue(document: object) -> QueueSnapshot | None:
    """The snapshot in GET /queue's document; None when it has another shape."""
    if not isinstance(document, dict):
        return None
    queue = cast("JsonObject", document)
    running, pending = _queue_items(queue.get("queue_running")), _queue_items(queue.get("queue_pending"))
    if running is None or pending is None:
        return None
    return QueueSnapshot(tuple(running), tuple(sorted(pending, key=lambda item: (item.number, item.prompt_id))))


def _queue_items(rows: object) -> list[QueueItem] | None:
    if not isinstance(rows, list):
        return None
    items = [_queue_item(row) for row in cast("list[object]", rows)]
    known = [item for item in items if item is not None]
    return known if len(known) == len(items) else None


def _queue_item(row: object) -> QueueItem | None:
    """`[number, prompt_id, graph, extra_data, outputs_to_execute]`, and whatever newer servers append."""
    if not isinstance(row, list):
        return None
    match cast("list[object]", row):
        case [int() | float() as number, str() as prompt_id, *rest]:
            client_id = as_object(rest[1]).get("client_id") if len(rest) > 1 else None
            return QueueItem(number, prompt_id, client_id if isinstance(client_id, str) else None)
        case _:
            return None


def parse_history(prompt_id: str, entry: object) -> HistoryEntry | None:
    """The entry of GET /history/{id}; None when it is no object."""
    if not isinstance(entry, dict):
        return None
    raw = cast("JsonObject", entry)
    status = as_object(raw.get("status"))
    messages = tuple(_messages(status.get("messages")))
    return HistoryEntry(
        prompt_id=prompt_id,
        outputs=parse_outputs(raw.get("outputs")),
        verdict=_verdict(messages, status),
        messages=messages,
        raw=raw,
    )


def _messages(rows: object) -> Iterator[tuple[str, JsonObject]]:
    for row in cast("list[object]", rows) if isinstance(rows, list) else []:
        match cast("list[object]", row) if isinstance(row, list) else None:
            case [str() as event, data]:
                yield event, as_object(data)
            case _:
                continue


def _verdict(messages: tuple[tuple[str, JsonObject], ...], status: JsonObject) -> Verdict:
    """status_str can be what the previous prompt left (behaviour 16); an interrupt says "error" (18)."""
    last = dict(messages)
    if "execution_interrupted" in last:
        return Interrupted()
    if "execution_success" in last:
        return Success()
    if "execution_error" in last:
        return Failed(last["execution_error"])
    return Success() if status.get("status_str") == "success" else Failed({})


def parse_outputs(outputs: object) -> tuple[OutputItem, ...]:
    """Every file and every text in a history's outputs, or in `{node_id: output}` of `executed` messages."""
    found: list[OutputItem] = []
    for node_id, ui in as_object(outputs).items():
        for media_key, values in as_object(ui).items():
            for value in _flat(values):
                item = _output_item(str(node_id), media_key, value, len(found))
                if item is not None:
                    found.append(item)
    return tuple(found)


def _flat(values: object) -> Iterator[object]:
    """A value, or the members of a list and of the lists directly in it (some text nodes nest once)."""
    if not isinstance(values, list):
        yield values
        return
    for value in cast("list[object]", values):
        if isinstance(value, list):
            yield from cast("list[object]", value)
        else:
            yield value


def _output_item(node_id: str, media_key: str, value: object, ordinal: int) -> OutputItem | None:
    if isinstance(value, str):
        return OutputItem(node_id, media_key, None, "", "", value, ordinal)
    if not isinstance(value, dict):
        return None
    file = cast("JsonObject", value)
    filename = file.get("filename")
    if not isinstance(filename, str) or not filename:
        return None
    extra = {key: member for key, member in file.items() if key not in {"filename", "subfolder", "type"}}
    kind = file.get("type")
    return OutputItem(
        node_id=node_id,
        media_key=media_key,
        filename=filename,
        subfolder=_text(file.get("subfolder")),
        type=kind if kind in {"output", "temp", "input"} else "output",
        text=None,
        ordinal=ordinal,
        extra=extra,
    )


def as_object(value: object) -> JsonObject:
    """The object itself, or an empty one for anything else."""
    return cast("JsonObject", value) if isinstance(value, dict) else {}


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
