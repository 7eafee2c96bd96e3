"""Whatever graph comes, it is judged by the rules that a real server was recorded to have, and never crashes."""

import asyncio
import copy
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from atelier.comfy.bounds import LARGEST_INT, SMALLEST_INT
from atelier.comfy.graph import InvalidWorkflow
from atelier.fleet.inventory import from_object_info
from atelier.fleet.model import Origin
from atelier.fleet.store import catalogs, roster
from atelier.fleet.view import FleetView
from atelier.intake.loaded import Files
from atelier.intake.native import Found, NativeOrder, judge, read_prompt
from atelier.intake.prompt_words import PromptRefused
from atelier.kit.ids import ServerId
from atelier.kit.wakeups import Wakeups
from support.comfy_recordings import FOLDER, object_info
from support.postgres import fresh_database, opened

NODES = object_info()
RECORDED_FILES = "Invalid image file"
"""A server looks into its own folder; Atelier cannot, and lets the server say it (docs/native-api.md)."""

LINKED: dict[str, tuple[str, dict[str, Any]]] = {
    "IMAGE": ("EmptyImage", {"width": 64, "height": 64, "batch_size": 1, "color": 0}),
    "LATENT": ("EmptyLatentImage", {"width": 64, "height": 64, "batch_size": 1}),
    "MASK": ("SolidMask", {"value": 1.0, "width": 64, "height": 64}),
}
"""What feeds an input of this type."""

WIDGETS = {"INT", "FLOAT", "STRING", "BOOLEAN"}


@pytest.fixture(scope="module")
def fleet(postgres_url: str, template_url: str) -> FleetView:
    """One server, whose catalogue was recorded. It is read once, and needs no database afterwards."""
    assert template_url
    return asyncio.run(_fleet(postgres_url))


async def _fleet(postgres_url: str) -> FleetView:
    async with fresh_database(postgres_url, template="migrated") as url, opened(url) as database:
        async with database.transaction() as tx:
            await roster.put(tx, ServerId("one"), "http://one:8188", {}, Origin.ADDED)
            await catalogs.save_inventory(tx, ServerId("one"), from_object_info(NODES), {})
        view = FleetView(database, Wakeups(database))
        await view.refresh()
        return view


def found(fleet: FleetView, graph: object, targets: Sequence[str] | None = None) -> Found:
    """What submitting does before it writes."""
    order = NativeOrder(graph, targets=targets)
    read = read_prompt(fleet, order)
    return judge(fleet, order, read, Files(read.graph))


def answer(fleet: FleetView, graph: object, targets: Sequence[str] | None = None) -> tuple[str, set[str]]:
    """The kind of the refusal (empty: accepted), and the kinds of all nodes' errors."""
    try:
        node_errors = found(fleet, graph, targets).node_errors
        return "", _kinds(node_errors)
    except (PromptRefused, InvalidWorkflow) as refusal:
        details = dict(refusal.details or {})
        json.dumps(details, allow_nan=False)
        assert details.keys() == {"error", "node_errors"}
        assert details["error"].keys() == {"type", "message", "details", "extra_info"}
        return details["error"]["type"], _kinds(details["node_errors"])


def _kinds(node_errors: Mapping[str, Any]) -> set[str]:
    assert all(entry.keys() == {"errors", "dependent_outputs", "class_type"} for entry in node_errors.values())
    return {fault["type"] for entry in node_errors.values() for fault in entry["errors"]}


# What was recorded ---------------------------------------------------------------------------------

NEW_WORDS = {"invalid_prompt": "missing_node_type"}
NEW_FAULTS = {"dependency_cycle"}


def recorded() -> list[Any]:
    """Every recorded POST /prompt with an object of nodes that the server could answer."""
    cases: list[Any] = []
    for name in ("d_validation.json", "j_http_surface.json", "g_queue_order.json", "e_execution_error.json"):
        events = json.loads((FOLDER / name).read_text())["events"]
        for number, event in enumerate(events):
            body = event.get("body")
            asked = event.get("direction") == "request" and str(event.get("path", "")).endswith("/prompt")
            if not asked or not isinstance(body, dict) or not isinstance(body.get("prompt"), dict):
                continue
            reply = next(later for later in events[number:] if later.get("direction") == "response")
            if reply["status"] in {200, 400} and isinstance(reply["body"], dict):
                cases.append(pytest.param(body, reply["status"], reply["body"], id=f"{name[0]}-{number}"))
    return cases


@pytest.mark.parametrize(("body", "status", "reply"), recorded())
def test_every_recorded_prompt_gets_the_recorded_verdict(
    fleet: FleetView, body: dict[str, Any], status: int, reply: dict[str, Any]
) -> None:
    if RECORDED_FILES in json.dumps(reply):
        status, reply = 200, {"node_errors": {}}

    kind, kinds = answer(fleet, body["prompt"], body.get("partial_execution_targets"))

    told = reply.get("error", {}).get("type", "")
    assert (status == 200) == (not kind)
    assert kind == NEW_WORDS.get(told, told)
    assert kinds - NEW_FAULTS == _kinds(reply["node_errors"])


def picture() -> dict[str, Any]:
    return {
        "1": {"class_type": "EmptyImage", "inputs": {"width": 64, "height": 64, "batch_size": 1, "color": 7}},
        "2": {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": "x"}},
    }


def chain(length: int) -> dict[str, Any]:
    links = {
        f"c{place}": {"class_type": "ImageInvert", "inputs": {"image": [f"c{place - 1}", 0]}}
        for place in range(1, length)
    }
    return {**picture(), "c0": {"class_type": "ImageInvert", "inputs": {"image": ["1", 0]}}, **links}


HAZARDS: dict[str, object] = {
    "a dangling node without inputs": {**picture(), "9": {"class_type": "EmptyImage"}},
    "a dangling node that links to a missing one": {
        **picture(),
        "9": {"class_type": "ImageInvert", "inputs": {"image": ["77", 0]}},
    },
    "an undeclared input that links to a missing node": {
        **picture(),
        "2": {
            "class_type": "SaveImage",
            "inputs": {"images": ["1", 0], "filename_prefix": "x", "extra": ["77", 0]},
        },
    },
    "a dangling chain of 2000 nodes": chain(2000),
    "inputs that are null": {**picture(), "1": {"class_type": "EmptyImage", "inputs": None}},
    "a class that is a list": {"1": {"class_type": [], "inputs": {}}},
    "a cycle that nothing uses": {
        **picture(),
        "a": {"class_type": "ImageInvert", "inputs": {"image": ["b", 0]}},
        "b": {"class_type": "ImageInvert", "inputs": {"image": ["a", 0]}},
    },
}


@pytest.mark.parametrize("graph", HAZARDS.values(), ids=HAZARDS.keys())
def test_what_killed_a_real_server_reaches_none(fleet: FleetView, graph: object) -> None:
    assert answer(fleet, graph)[0]


# One thing wrong -----------------------------------------------------------------------------------


def _buildable() -> dict[str, dict[str, Any]]:
    """Classes of the recorded catalogue that a valid graph can be built around, with their required inputs."""
    classes: dict[str, dict[str, Any]] = {}
    for name, info in NODES.items():
        required = info["input"].get("required", {})
        if info["output"] and all(_fillable(spec) for spec in required.values()):
            classes[name] = required
    return classes


def _fillable(spec: Sequence[Any]) -> bool:
    kind, options = spec[0], spec[1] if len(spec) > 1 else {}
    if any(key.endswith("_upload") for key in options):
        return False
    if isinstance(kind, list):
        return bool(kind)
    return kind in LINKED or kind in WIDGETS or (kind == "COMBO" and bool(options.get("options")))


def _value(spec: Sequence[Any]) -> Any:
    kind, options = spec[0], spec[1] if len(spec) > 1 else {}
    if isinstance(kind, list):
        return kind[0]
    if kind == "COMBO":
        return [options["options"][0]] if options.get("multiselect") else options["options"][0]
    if kind in LINKED:
        return [kind, 0]
    plain = {"INT": 1, "FLOAT": 1.0, "STRING": "x", "BOOLEAN": True}[kind]
    return options.get("default", max(options.get("min", plain), plain) if kind in {"INT", "FLOAT"} else plain)


def around(class_type: str) -> dict[str, Any]:
    """A valid graph in which node `n` is of this class, and its first output is shown."""
    inputs = {name: _value(spec) for name, spec in BUILDABLE[class_type].items()}
    feeds = {value[0] for value in inputs.values() if isinstance(value, list) and value[0] in LINKED}
    graph: dict[str, Any] = {
        kind: {"class_type": LINKED[kind][0], "inputs": dict(LINKED[kind][1])} for kind in sorted(feeds)
    }
    graph["n"] = {"class_type": class_type, "inputs": inputs}
    graph["show"] = {"class_type": "PreviewAny", "inputs": {"source": ["n", 0]}}
    return graph


BUILDABLE = _buildable()
CLASSES = st.sampled_from(sorted(BUILDABLE))


@pytest.mark.parametrize("class_type", sorted(BUILDABLE))
def test_a_valid_graph_is_accepted(fleet: FleetView, class_type: str) -> None:
    assert answer(fleet, around(class_type)) == ("", set())


def inputs_of(class_type: str, *kinds: str) -> list[str]:
    """Names of required inputs of these kinds; `choice`: a combo of texts."""
    names: list[str] = []
    for name, (kind, *options) in BUILDABLE[class_type].items():
        choice = isinstance(kind, list) or (kind == "COMBO" and not options[0].get("multiselect"))
        if ("choice" if choice else kind) in kinds:
            names.append(name)
    return names


def options_of(class_type: str, name: str) -> dict[str, Any]:
    return dict((*BUILDABLE[class_type][name], {})[1])


@st.composite
def faulty(draw: st.DrawFn) -> tuple[dict[str, Any], str]:
    """A valid graph with one fault, and how a server calls that."""
    class_type = draw(CLASSES)
    graph = around(class_type)
    inputs = graph["n"]["inputs"]
    faults: list[tuple[str, str, Any]] = [(name, "required_input_missing", None) for name in inputs]
    for name in inputs_of(class_type, "INT", "FLOAT"):
        options = options_of(class_type, name)
        faults.append((name, "invalid_input_type", draw(st.sampled_from(["abc", "", "1 2", None, "٣x"]))))
        beyond = draw(st.integers(1, 10**6))
        if "max" in options and options["max"] < options["max"] + beyond <= LARGEST_INT:
            faults.append((name, "value_bigger_than_max", options["max"] + beyond))
        if "min" in options and SMALLEST_INT <= options["min"] - beyond < options["min"]:
            faults.append((name, "value_smaller_than_min", options["min"] - beyond))
    faults += [
        (name, "value_not_in_list", draw(st.sampled_from(["nonsense", 10**9, None])))
        for name in inputs_of(class_type, "choice")
    ]
    for name in inputs_of(class_type, *LINKED):
        faults.append((name, "bad_linked_input", draw(st.sampled_from([[], ["n"], ["n", 0, 0], [0]]))))
        faults.append((name, "return_type_mismatch", ["text", 0]))
        faults.append((name, "exception_during_validation", [name, draw(st.integers(50, 10**6))]))
    assume(faults)
    name, kind, value = draw(st.sampled_from(faults))
    if kind == "required_input_missing":
        del inputs[name]
    elif kind == "exception_during_validation":
        inputs[name] = [inputs[name][0], value[1]]
    else:
        inputs[name] = value
    graph["text"] = {"class_type": "PrimitiveString", "inputs": {"value": "x"}}
    return graph, kind


@settings(deadline=None, max_examples=400)
@given(case=faulty())
def test_one_fault_is_called_what_a_server_calls_it(fleet: FleetView, case: tuple[dict[str, Any], str]) -> None:
    graph, kind = case

    refusal, kinds = answer(fleet, graph)

    assert refusal == "prompt_outputs_failed_validation"
    expected = {kind, "exception_during_inner_validation"} if kind == "exception_during_validation" else {kind}
    assert kinds & expected


@settings(deadline=None)
@given(case=faulty())
def test_one_bad_output_beside_a_good_one_does_not_keep_the_good_one_from_running(
    fleet: FleetView, case: tuple[dict[str, Any], str]
) -> None:
    graph, _ = case

    good = found(fleet, {**graph, **picture()})

    assert good.outputs == ("2",)
    assert good.node_errors


# Anything wrong ------------------------------------------------------------------------------------

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["n", "show", "text", "__value__", "__type", "core/ASSET", "class_type", "x.png [output]"]),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.text(max_size=5) | st.sampled_from(["__value__", "class_type", "inputs"]), inner, max_size=4
        )
    ),
    max_leaves=12,
)


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The paths of everything inside."""
    members: Any = ()
    if isinstance(value, dict):
        members = value.items()
    elif isinstance(value, list):
        members = enumerate(value)
    return [path, *(one for key, member in members for one in places(member, (*path, key)))]


def with_change(document: Any, path: tuple[Any, ...], value: Any) -> Any:
    if not path:
        return value
    changed = copy.deepcopy(document)
    inner = changed
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    return changed


@st.composite
def mutated(draw: st.DrawFn) -> Any:
    """A valid graph with some values replaced, links bent, nodes taken out or given twice."""
    document: Any = around(draw(CLASSES))
    for _ in range(draw(st.integers(1, 4))):
        path = draw(st.sampled_from(places(document)))
        value = draw(JSON | st.tuples(st.sampled_from(["n", "show", "IMAGE"]), st.integers(-1, 3)).map(list))
        document = with_change(document, path, value)
    if isinstance(document, dict) and draw(st.booleans()):
        document.pop(draw(st.sampled_from(["n", "show", "IMAGE"])), None)
    return document


def linked(graph: dict[str, Any]) -> Iterator[str]:
    """The nodes that a server would look for: in inputs and what it unwraps of them, not deeper."""
    for node in graph.values():
        for value in node["inputs"].values():
            match value["__value__"] if isinstance(value, dict) and "__value__" in value else value:
                case [str(source), int() | float()]:
                    yield source
                case _:
                    continue


@settings(deadline=None, max_examples=500)
@given(document=mutated(), targets=st.none() | st.lists(st.sampled_from(["n", "show", ""]), max_size=2))
def test_whatever_is_changed_it_is_accepted_or_refused_and_never_a_hazard(
    fleet: FleetView, document: Any, targets: list[str] | None
) -> None:
    before = copy.deepcopy(document)

    refused, _ = answer(fleet, document, targets)

    if not refused:
        good = found(fleet, document, targets)
        graph = json.loads(good.judged.text)
        assert good.outputs
        assert set(good.outputs) <= graph.keys() & set(targets or graph)
        assert all(isinstance(node["inputs"], dict) and node["class_type"] in NODES for node in graph.values())
        assert all(source in graph for source in linked(graph))
    assert repr(document) == repr(before)


@settings(deadline=None)
@given(document=JSON)
def test_no_document_makes_anything_else_be_raised(fleet: FleetView, document: Any) -> None:
    kind, _ = answer(fleet, document)

    assert kind
