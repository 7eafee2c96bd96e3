"""A prompt is accepted as one ComfyUI that is the whole fleet would accept it, and refused in its words."""

import asyncio
import uuid
from typing import Any

import pytest

from atelier.assets import naming
from atelier.assets.model import Blob, Digest, Received
from atelier.assets.names import FileName, Folder
from atelier.comfy.graph import InvalidWorkflow
from atelier.intake import again
from atelier.intake.prompt_words import PromptRefused
from atelier.jobs import native
from atelier.jobs import service as jobs
from atelier.jobs.model import OutputKind
from atelier.jobs.prompt import Prompt
from atelier.jobs.store import attempts
from atelier.kit.ids import AccountId, AssetId, new_uuid
from support.comfy_recordings import object_info
from support.door import Door
from support.graphs import picture
from support.yard import made

NODES = object_info()
ERROR = {"type", "message", "details", "extra_info"}


def save(source: object, **inputs: Any) -> dict[str, Any]:
    return {"class_type": "SaveImage", "inputs": {"images": source, "filename_prefix": "x", **inputs}}


def checkpoint(name: str) -> dict[str, Any]:
    return {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": name}}


def decoded(model: str) -> dict[str, Any]:
    """A picture that costs a checkpoint: its VAE decodes nothing in particular."""
    return {
        "m": checkpoint(model),
        "l": {"class_type": "EmptyLatentImage", "inputs": {"width": 64, "height": 64, "batch_size": 1}},
        "d": {"class_type": "VAEDecode", "inputs": {"samples": ["l", 0], "vae": ["m", 2]}},
        "s": save(["d", 0]),
    }


def with_checkpoints(*names: str) -> dict[str, Any]:
    loader: dict[str, Any] = {
        **NODES["CheckpointLoaderSimple"],
        "input": {"required": {"ckpt_name": [list(names), {}]}},
    }
    return {**NODES, "CheckpointLoaderSimple": loader}


async def refusal(door: Door, graph: object, **order: Any) -> dict[str, Any]:
    """What a client is told; nothing was written."""
    before = await door.written()
    with pytest.raises((PromptRefused, InvalidWorkflow)) as refused:
        await door.prompt(graph, **order)
    assert await door.written() == before
    told = dict(refused.value.details or {})
    assert told.keys() == {"error", "node_errors"}
    assert told["error"].keys() == ERROR
    return told


async def kept(door: Door) -> tuple[Any, ...]:
    """Graph, outputs and what is shown instead, of the one prompt there is."""
    [row] = await door.yard.rows(
        "SELECT g.body, p.outputs, p.shown FROM jobs j JOIN graphs g ON g.digest = j.graph_digest"
        " JOIN native_prompts p ON p.job_id = j.id"
    )
    return row


# Accepted ------------------------------------------------------------------------------------------


async def test_a_prompt_becomes_a_job_with_all_that_came_with_it(door: Door) -> None:
    await door.knows(**NODES)
    chosen = uuid.UUID(int=7)

    done = await door.prompt(
        picture(),
        prompt_id=chosen,
        number=2.5,
        client_id="me",
        extra_data={"extra_pnginfo": {"workflow": {"id": "w"}}},
        secrets={"api_key_comfy_org": "s"},
    )

    assert (done.prompt_id, done.number, done.node_errors) == (str(chosen), 2.5, {})
    assert done.job == await door.yard.read(done.job.id)
    [row] = await door.yard.rows("SELECT dialect, native_prompt_id, number, secrets FROM jobs")
    assert row == ("comfyui", chosen, 2.5, {"api_key_comfy_org": "s"})
    [prompt] = await door.yard.rows("SELECT client_id, extra_data, outputs, shown FROM native_prompts")
    assert prompt == ("me", {"extra_pnginfo": {"workflow": {"id": "w"}}}, ["2"], {})


async def test_without_an_id_and_a_number_it_has_its_job_s(door: Door) -> None:
    plain, front = await door.prompt(picture()), await door.prompt(picture(), front=True)

    assert (plain.prompt_id, plain.number) == (str(plain.job.id), plain.job.position)
    assert (front.prompt_id, front.number) == (str(front.job.id), -front.job.position)


async def test_who_waits_for_work_and_who_follows_the_account_is_woken(door: Door) -> None:
    topics = ("queue", f"account:{door.yard.account_id}")
    for topic in topics:
        with door.wakeups.subscribe(topic) as woken:
            await door.prompt(picture())
            assert await woken.wait(1)


async def test_of_a_good_and_a_bad_output_the_good_one_runs_and_the_bad_one_is_told(door: Door) -> None:
    await door.knows(**with_checkpoints("there.safetensors"))
    graph = {**picture(), **decoded("missing.safetensors")}

    done = await door.prompt(graph)

    assert done.node_errors.keys() == {"m"}
    assert done.node_errors["m"]["dependent_outputs"] == ["s"]
    assert done.node_errors["m"]["errors"][0]["type"] == "value_not_in_list"
    assert (await kept(door))[1] == ["2"]
    assert await door.yard.value("SELECT body -> 'models' FROM requirements ORDER BY id DESC LIMIT 1") == []
    assert await door.yard.value("SELECT lane FROM jobs") == ""


async def test_only_the_targets_are_run_and_only_their_models_are_needed(door: Door) -> None:
    await door.knows(**with_checkpoints("a.safetensors"))
    graph = {**picture(), **decoded("a.safetensors"), "3": save(["1", 0])}

    done = await door.prompt(graph, targets=["3", "unknown", "1"])

    assert done.node_errors == {}
    assert (await kept(door))[1] == ["3"]
    assert await door.yard.value("SELECT lane FROM jobs") == ""


@pytest.mark.parametrize(
    ("targets", "known"), [([], True), ([], False), (["unknown"], True), (["unknown"], False), (["1"], True)]
)
async def test_targets_that_are_no_outputs_leave_nothing_to_run(
    door: Door, targets: list[str], known: bool
) -> None:
    if known:
        await door.knows(**NODES)

    told = await refusal(door, picture(), targets=targets)

    assert told["error"]["type"] == "prompt_no_outputs"


async def test_while_no_server_is_known_everything_waits_and_nothing_is_said(door: Door) -> None:
    done = await door.prompt({**picture(), "3": {"class_type": "Unknown", "inputs": {}}}, targets=None)
    aimed = await door.prompt(picture(), targets=["2"])

    assert done.node_errors == aimed.node_errors == {}
    assert sorted(await door.yard.rows("SELECT outputs FROM native_prompts")) == [([],), (["2"],)]


async def test_the_same_prompt_id_is_refused_and_so_is_a_job_s_own(door: Door) -> None:
    first = await door.prompt(picture(), prompt_id=uuid.UUID(int=7))
    before = await door.written()

    for taken in (uuid.UUID(int=7), first.job.id):
        with pytest.raises(jobs.DuplicatePrompt):
            await door.prompt(picture(color=3), prompt_id=taken)

    assert await door.written() == before


# The fleet as one server ---------------------------------------------------------------------------


async def test_a_model_is_missing_only_where_no_server_has_it(door: Door) -> None:
    await door.knows("one", **with_checkpoints("a.safetensors"))
    await door.knows("two", **with_checkpoints("b.safetensors"))

    for name in ("a.safetensors", "b.safetensors"):
        assert (await door.prompt(decoded(name))).node_errors == {}
    told = await refusal(door, decoded("c.safetensors"))

    assert told["error"]["type"] == "prompt_outputs_failed_validation"
    assert told["error"]["details"] == ""
    [fault] = told["node_errors"]["m"]["errors"]
    assert fault["type"] == "value_not_in_list"
    assert fault["extra_info"]["received_value"] == "c.safetensors"


async def test_the_server_that_can_run_most_outputs_decides(door: Door) -> None:
    await door.knows("one", **with_checkpoints("a.safetensors"))
    await door.knows("two", **with_checkpoints("b.safetensors", "c.safetensors"))
    graph: dict[str, Any] = {}
    for model in "abc":
        graph |= {
            f"{model}{node_id}": {
                **node,
                "inputs": {name: _own(model, value) for name, value in node["inputs"].items()},
            }
            for node_id, node in decoded(f"{model}.safetensors").items()
        }

    done = await door.prompt(graph)

    assert set((await kept(door))[1]) == {"bs", "cs"}
    assert done.node_errors.keys() == {"am"}


def _own(model: str, value: Any) -> Any:
    return [f"{model}{value[0]}", value[1]] if isinstance(value, list) else value


async def test_a_class_that_one_server_has_is_no_missing_class(door: Door) -> None:
    await door.knows("plain", **{name: NODES[name] for name in ("EmptyImage", "SaveImage")})
    await door.knows("rich", **NODES)

    done = await door.prompt(
        {**picture(), "3": {"class_type": "ImageInvert", "inputs": {"image": ["1", 0]}}, "4": save(["3", 0])}
    )

    assert (await kept(door))[1] == ["2", "4"]
    assert done.node_errors == {}


async def test_a_class_that_nobody_has_is_told_as_a_missing_node(door: Door) -> None:
    await door.knows(**NODES)

    told = await refusal(
        door, {**picture(), "7": {"class_type": "FancyPack", "inputs": {}, "_meta": {"title": "Fancy"}}}
    )

    assert told["error"]["type"] == "missing_node_type"
    assert told["error"]["extra_info"] == {"node_id": "7", "class_type": "FancyPack", "node_title": "Fancy"}
    assert told["node_errors"] == {}


# Words ---------------------------------------------------------------------------------------------

WORDS: dict[str, tuple[object, str, str | None]] = {
    "no object": ([], "no_prompt", None),
    "nothing": ({}, "prompt_no_outputs", None),
    "a node without class": ({"1": {"inputs": {}}}, "missing_node_type", None),
    "the editor's own file": ({"nodes": [], "links": [], "version": 0.4}, "missing_node_type", None),
    "no output": ({"1": picture()["1"]}, "prompt_no_outputs", None),
    "a cycle": (
        {
            "1": {"class_type": "ImageInvert", "inputs": {"image": ["2", 0]}},
            "2": {"class_type": "ImageInvert", "inputs": {"image": ["1", 0]}},
            "3": save(["2", 0]),
        },
        "prompt_outputs_failed_validation",
        "dependency_cycle",
    ),
    "a link to nowhere": (
        {"2": save(["99", 0])},
        "prompt_outputs_failed_validation",
        "exception_during_validation",
    ),
    "a slot that is not there": (
        {**picture(), "2": save(["1", 7])},
        "prompt_outputs_failed_validation",
        "exception_during_validation",
    ),
    "a link of one": ({**picture(), "2": save(["1"])}, "prompt_outputs_failed_validation", "bad_linked_input"),
    "a wrong number": (picture(width="wide"), "prompt_outputs_failed_validation", "invalid_input_type"),  # type: ignore[arg-type]
    "a large number": (picture(width=10**6), "prompt_outputs_failed_validation", "value_bigger_than_max"),
}


@pytest.mark.parametrize(("graph", "kind", "node_kind"), WORDS.values(), ids=WORDS.keys())
async def test_a_bad_graph_is_refused_in_the_words_of_a_new_server(
    door: Door, graph: object, kind: str, node_kind: str | None
) -> None:
    await door.knows(**NODES)

    told = await refusal(door, graph)

    kinds = {fault["type"] for entry in told["node_errors"].values() for fault in entry["errors"]}
    assert told["error"]["type"] == kind
    assert kinds == ({node_kind} if node_kind else set())


async def test_a_hazard_that_a_server_would_take_is_refused_in_its_shape(door: Door) -> None:
    await door.knows(**NODES)

    dangling = await refusal(door, {**picture(), "9": {"class_type": "EmptyImage", "inputs": {"x": ["gone", 0]}}})
    naked = await refusal(door, {**picture(), "9": {"class_type": "EmptyImage"}})

    assert dangling["node_errors"]["9"]["errors"][0]["type"] == "bad_linked_input"
    assert naked["error"]["type"] == "invalid_prompt"


@pytest.mark.parametrize(
    "order", [{"client_id": "a\0b"}, {"client_id": "\ud800"}, {"number": float("nan")}, {"secrets": {"k": "\0"}}]
)
async def test_what_cannot_be_stored_is_refused(door: Door, order: dict[str, Any]) -> None:
    await refusal(door, picture(), **order)


async def test_a_full_queue_is_an_answer(door: Door) -> None:
    for _ in range(3):
        await door.prompt(picture())

    with pytest.raises(jobs.QueueFull):
        await door.prompt(picture())


# Files ---------------------------------------------------------------------------------------------


def loading(*names: object) -> dict[str, Any]:
    graph: dict[str, Any] = {}
    for number, name in enumerate(names):
        graph[f"l{number}"] = {"class_type": "LoadImage", "inputs": {"image": name}}
        graph[f"s{number}"] = save([f"l{number}", 0])
    return graph


async def upload(door: Door, file: FileName, account_id: AccountId | None = None) -> AssetId:
    owner = account_id or door.yard.account_id
    await door.yard.keep(b"input")
    [(digest, generation)] = await door.yard.rows("SELECT hash, generation FROM blobs")
    received = Received(Blob(Digest(bytes(digest)), generation, 5, "image/png"))
    async with door.yard.database.transaction() as tx:
        await naming.keep(tx, owner, received, file)
        found = await naming.find(tx, owner, file)
    assert found is not None
    return found.id


def reference(asset_id: AssetId) -> dict[str, Any]:
    return {"__type": "core/ASSET", "info": {"id": str(asset_id)}}


async def test_an_account_s_own_files_become_its_assets_and_their_names_are_shown(door: Door) -> None:
    await door.knows(**NODES)
    plain = await upload(door, FileName(Folder.INPUT, "", "x.png"))
    inner = await upload(door, FileName(Folder.INPUT, "sub", "y.png"))
    graph = loading("x.png", "sub/y.png", "operators.png", "x.png [input]")

    done = await door.prompt(graph)

    body, _, shown = await kept(door)
    assert shown == {
        "l0": {"image": "x.png"},
        "l1": {"image": "sub/y.png"},
        "l3": {"image": "x.png [input]"},
    }
    entry = await _entry(door, done.prompt_id)
    assert entry.graph == graph
    stored = await _stored(door, done.job.id)
    assert [stored[f"l{number}"]["inputs"]["image"] for number in range(4)] == [
        reference(plain),
        reference(inner),
        "operators.png",
        reference(plain),
    ]
    assert "x.png" not in body
    inputs = await door.yard.rows("SELECT asset_id FROM job_inputs")
    assert {row[0] for row in inputs} == {plain, inner}


async def _entry(door: Door, prompt_id: str) -> native.Entry:
    async with door.yard.database.autocommit() as tx:
        entry = await native.entry(tx, door.yard.account_id, prompt_id)
    assert entry is not None
    return entry


async def _stored(door: Door, job_id: Any) -> dict[str, Any]:
    async with door.yard.database.autocommit() as tx:
        return await jobs.graph(tx, door.yard.account_id, job_id)


async def test_what_a_job_made_can_be_loaded_by_the_name_that_history_lists(door: Door) -> None:
    await door.knows(**NODES)
    me = await door.yard.dispatcher()
    await door.yard.keep(b"one")
    claim = await door.yard.claimed(me, running=True)
    output = made(b"one", "ComfyUI_00001_.png")
    async with door.yard.database.autocommit() as tx:
        assert await attempts.succeed(tx, claim, [output])
    position = (await door.yard.read(claim.job_id)).position
    name = f"ComfyUI_{position:05}_.png [output]"

    done = await door.prompt(loading(name))

    assert (await _stored(door, done.job.id))["l0"]["inputs"]["image"] == reference(output.id)
    assert output.kind is OutputKind.IMAGE


@pytest.mark.parametrize(
    "name", ["ComfyUI_00001_.png [output]", "x.png [temp]", "atelier/0a1b.png", "x.png [OUTPUT]"]
)
async def test_a_name_that_may_be_another_account_s_is_an_invalid_file(door: Door, name: str) -> None:
    await door.knows(**NODES)
    await upload(door, FileName(Folder.INPUT, "", "x.png"), AccountId(new_uuid()))

    told = await refusal(door, loading(name))

    [fault] = told["node_errors"]["l0"]["errors"]
    assert fault["type"] == "custom_validation_failed"
    assert fault["details"] == f"image - Invalid image file: {name}"


async def test_another_account_s_upload_is_not_found_by_its_name(door: Door) -> None:
    await door.knows(**NODES)
    await upload(door, FileName(Folder.INPUT, "", "x.png"), AccountId(new_uuid()))

    done = await door.prompt(loading("x.png"))

    assert (await _stored(door, done.job.id))["l0"]["inputs"]["image"] == "x.png"
    assert await door.yard.value("SELECT count(*) FROM job_inputs") == 0


async def test_each_of_several_chosen_files_becomes_an_asset(door: Door) -> None:
    plain = await upload(door, FileName(Folder.INPUT, "", "x.png"))

    done = await door.prompt(loading(["x.png", "other.png"], {"__value__": "x.png"}))

    stored = await _stored(door, done.job.id)
    assert stored["l0"]["inputs"]["image"] == [reference(plain), "other.png"]
    assert stored["l1"]["inputs"]["image"] == {"__value__": reference(plain)}


async def test_an_asset_that_the_account_does_not_have_is_an_invalid_file(door: Door) -> None:
    await door.knows(**NODES)
    foreign = await door.asset(AccountId(new_uuid()))

    gone = await refusal(door, loading(reference(foreign)))
    broken = await refusal(door, loading({"__type": "core/ASSET"}))

    for told in (gone, broken):
        assert told["node_errors"]["l0"]["errors"][0]["type"] == "custom_validation_failed"


async def test_hundreds_of_names_are_too_many(door: Door) -> None:
    told = await refusal(door, loading(*(f"{number}.png" for number in range(501))))

    assert "files" in told["error"]["details"]


# Again ---------------------------------------------------------------------------------------------


async def test_a_prompt_that_is_retried_keeps_what_came_with_it(door: Door) -> None:
    await door.knows(**with_checkpoints("there.safetensors"))
    done = await door.prompt(
        {**picture(), **decoded("missing.safetensors")},
        client_id="me",
        extra_data={"a": 1},
        prompt_id=uuid.UUID(int=7),
    )
    await door.yard.cancel(done.job.id)

    with door.wakeups.subscribe(f"account:{door.yard.account_id}") as woken:
        new = await again.retry(door.intake, door.caller(), door.yard.account_id, done.job.id)
        assert await woken.wait(1)

    entry = await _entry(door, str(new.id))
    assert entry.prompt == Prompt("me", {"a": 1}, ("2",))
    assert entry.prompt_id == str(new.id)


async def test_many_prompts_at_once_are_all_accepted_with_different_numbers(door: Door) -> None:
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(door.prompt(picture(color=color))) for color in range(3)]

    assert len({task.result().number for task in tasks}) == 3
