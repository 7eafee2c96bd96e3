"""Jobs of every dialect as ComfyUI spells them: queue tuples, history entries, messages, the job API's objects.

What a server told of a run is shown as it is; what no server told (of other dialects' jobs, of jobs that ended
without one) is put together from what Atelier knows. Graphs and workflows are large, and polled: they are not
parsed to be told.
"""

import datetime as dt
import json
from collections.abc import Iterable, Mapping
from typing import Any

from atelier.comfy.output_names import shown_name
from atelier.dialects.comfyui.numbers import shown_number
from atelier.dialects.comfyui.summaries import normalized, summary
from atelier.jobs.model import Job, JobError, JobState, Output, OutputKind
from atelier.jobs.native import Entry
from atelier.kit.http.answers import compact
from atelier.kit.written import text_of, with_members

Message = tuple[str, Mapping[str, Any]]
"""An event and its data, as a history keeps it and a socket sends it."""

SUCCESS, ERROR, INTERRUPTED = "execution_success", "execution_error", "execution_interrupted"

_TERMINAL: Mapping[JobState, str] = {
    JobState.SUCCEEDED: SUCCESS,
    JobState.FAILED: ERROR,
    JobState.EXPIRED: ERROR,
    JobState.CANCELED: INTERRUPTED,
}

JOB_STATUS: Mapping[JobState, str] = {
    JobState.PREPARING: "pending",
    JobState.QUEUED: "pending",
    JobState.CLAIMED: "pending",
    JobState.RUNNING: "in_progress",
    JobState.CANCELING: "in_progress",
    JobState.SUCCEEDED: "completed",
    JobState.FAILED: "failed",
    JobState.EXPIRED: "failed",
    JobState.CANCELED: "cancelled",
}
"""The states of the job API (wire contract 6)."""

_MEDIA: Mapping[OutputKind, str] = {
    OutputKind.IMAGE: "images",
    OutputKind.VIDEO: "images",
    OutputKind.AUDIO: "audio",
    OutputKind.TEXT: "text",
    OutputKind.LATENT: "latents",
    OutputKind.FILE: "files",
}
"""Under which key a node shows its files; SaveVideo says `images` and `animated` beside it (0.3.64)."""


def queue_tuple(entry: Entry) -> str:
    """JSON `[number, prompt_id, graph, extra_data, outputs_to_execute]` (wire contract 5)."""
    head = compact([shown_number(entry.number), entry.prompt_id])[1:-1]
    return f"[{head},{text_of(entry.graph or {})},{_extra_text(entry)},{compact(targets(entry))}]"


def history_entry(entry: Entry) -> str:
    """JSON of what stands under a prompt's id in /history, for a job that has ended."""
    told = {"outputs": outputs(entry), "status": status(entry), "meta": _meta(entry)}
    return f'{{"prompt":{queue_tuple(entry)},{compact(told)[1:-1]}}}'


def job_of(entry: Entry, *, detail: bool = False) -> dict[str, Any]:
    """A job of the job API; `detail` adds outputs, status and workflow (wire contract 6)."""
    job = entry.job
    shown: dict[str, Any] = {
        "id": entry.prompt_id,
        "status": JOB_STATUS[job.state],
        "priority": shown_number(entry.number),
    }
    shown |= {"create_time": millis(job.created_at)} | _times(entry)
    shown |= summary(outputs(entry)) | {"workflow_id": workflow_id(entry)}
    if detail and job.state.terminal:
        shown |= {"outputs": normalized(outputs(entry)), "execution_status": status(entry)}
    if detail:
        shown["workflow"] = {"prompt": {**(entry.graph or {})}, "extra_data": json.loads(_extra_text(entry))}
    return {name: value for name, value in shown.items() if value is not None}


def targets(entry: Entry) -> list[str]:
    """The output nodes that it is run for; where nobody chose any, those that made something, or feed no other."""
    if entry.prompt and entry.prompt.outputs:
        return list(entry.prompt.outputs)
    made = () if entry.prompt else dict.fromkeys(output.node_id for output in entry.job.outputs)
    return list(made) or _last_nodes(entry.graph or {})


def workflow_id(entry: Entry) -> str | None:
    """The id that the editor gave the workflow which it sent along."""
    match entry.prompt and entry.prompt.extra_data.get("extra_pnginfo"):
        case {"workflow": {"id": str(known)}}:
            return known
        case _:
            return None


def outputs(entry: Entry) -> Mapping[str, Any]:
    """`{node: {media: [item]}}`: what the server told, else by the files that there are."""
    if entry.report:
        return entry.report.outputs
    made: dict[str, dict[str, Any]] = {}
    for output in entry.job.outputs:
        node = made.setdefault(output.node_id, {})
        node.setdefault(_MEDIA[output.kind], []).append(_item(output, entry.job))
        if output.kind is OutputKind.VIDEO:
            node["animated"] = [True]
    return made


def status(entry: Entry) -> dict[str, Any]:
    """`{status_str, completed, messages}` of a job that has ended."""
    good = entry.job.state is JobState.SUCCEEDED
    told = [[event, data] for event, data in messages(entry)]
    return {"status_str": "success" if good else "error", "completed": good, "messages": told}


def messages(entry: Entry) -> list[Message]:
    """What its client heard of the run, in order; the last one tells how the job ended.

    A run can look good to its server and be none: its files were lost, or its time was up. Then what the server
    said of the end is replaced; a blocked branch is an error that ends nothing (wire contract 7.5).
    """
    told = list(entry.report.messages) if entry.report and entry.report.messages else _beginning(entry)
    expected = _TERMINAL[entry.job.state]
    if told and told[-1][0] == expected:
        return told
    return [*(message for message in told if message[0] not in {SUCCESS, INTERRUPTED}), _ending(entry)]


def terminal(entry: Entry) -> Message:
    """The message that ends the prompt, for a job that has ended."""
    return messages(entry)[-1]


def millis(moment: dt.datetime) -> int:
    """Unix time in whole milliseconds, as all of ComfyUI's timestamps."""
    return int(moment.timestamp() * 1000)


def _extra_text(entry: Entry) -> str:
    """What the client said beside its graph, its own id, and when it came (ms). Secrets are not among it."""
    prompt = entry.prompt
    own = {"client_id": prompt.client_id} if prompt and prompt.client_id is not None else {}
    when = {"create_time": millis(entry.job.created_at)}
    return with_members(text_of(prompt.extra_data) if prompt else "{}", own | when)


def _times(entry: Entry) -> dict[str, Any]:
    """When a run that has ended began and ended (ms), and why it failed."""
    if not entry.job.state.terminal:
        return {}
    told = messages(entry)
    begun = [data.get("timestamp") for event, data in told if event == "execution_start"]
    failures = [data for event, data in told if event == ERROR]
    return {
        "execution_start_time": begun[0] if begun else None,
        "execution_end_time": told[-1][1].get("timestamp"),
        "execution_error": failures[-1] if failures else None,
    }


def _beginning(entry: Entry) -> list[Message]:
    began = entry.job.started_at
    if began is None:
        return []
    when = {"prompt_id": entry.prompt_id, "timestamp": millis(began)}
    return [("execution_start", when), ("execution_cached", {"nodes": [], **when})]


def _ending(entry: Entry) -> Message:
    job = entry.job
    when = millis(job.finished_at or job.created_at)
    match job.state:
        case JobState.SUCCEEDED:
            return SUCCESS, {"prompt_id": entry.prompt_id, "timestamp": when}
        case JobState.CANCELED:
            nowhere = {"node_id": "", "node_type": "", "executed": list[str]()}
            return INTERRUPTED, {"prompt_id": entry.prompt_id, **nowhere, "timestamp": when}
        case _:
            return ERROR, _error(entry.prompt_id, job.error or JobError("failed", "It failed."), when)


def _error(prompt_id: str, error: JobError, when: int) -> dict[str, Any]:
    """All members of wire contract 7.5; editors require texts where there is no node to name."""
    return {
        "prompt_id": prompt_id,
        "node_id": error.node_id or "",
        "node_type": error.class_type or "",
        "executed": [],
        "exception_message": error.message,
        "exception_type": error.code,
        "traceback": (error.traceback or "").splitlines(keepends=True),
        "current_inputs": {},
        "current_outputs": [],
        "timestamp": when,
    }


def _item(output: Output, job: Job) -> dict[str, str]:
    """A file as /view finds it again."""
    return {
        "filename": shown_name(output.name, job.position),
        "subfolder": output.subfolder,
        "type": "temp" if output.temporary else "output",
    }


def _meta(entry: Entry) -> Mapping[str, Any]:
    if entry.report and entry.report.meta:
        return entry.report.meta
    return {
        node: {"node_id": node, "display_node": node, "parent_node": None, "real_node_id": node}
        for node in outputs(entry)
    }


def _last_nodes(graph: Mapping[str, Any]) -> list[str]:
    """The nodes that feed no other: no catalogue is asked for what is only shown."""
    feeding = {source for node in graph.values() for source in _sources(node.get("inputs", {}).values())}
    return [node_id for node_id in graph if node_id not in feeding]


def _sources(values: Iterable[object]) -> Iterable[str]:
    for value in values:
        match value:
            case [str(source), int() | float()]:
                yield source
            case _:
                pass
