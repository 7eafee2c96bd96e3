"""The texts and the files that a graph takes, as parameters."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from atelier.workflows.model import Binding, Kind, Parameter
from atelier.workflows.places import title_of
from atelier.workflows.proposing.parts import NOT_IN_NAMES, at, parameter
from atelier.workflows.proposing.tracing import NEGATIVE, POSITIVE, Place, Traces

LONGEST_PROMPT = 4_000


def prompts(traces: Traces, samplers: Sequence[str]) -> Iterator[Parameter]:
    """The texts that reach a sampler: those to show first, then those not to show; equal ones are one."""
    positive = [place for one in samplers for place in traces.texts(one, POSITIVE)]
    negative = [place for one in samplers for place in traces.texts(one, NEGATIVE) if place not in positive]
    for name, places in (("prompt", positive), ("negative_prompt", negative)):
        for text, bind in _by_value(traces, places):
            required = name == "prompt" and bind[0] == places[0]
            default = None if required else text
            most = max(LONGEST_PROMPT, len(text))
            yield parameter(name, Kind.TEXT, at(*bind), default=default, required=required, maximum=most)
    if not positive:
        yield from _other_texts(traces)


def _by_value(traces: Traces, places: Iterable[Place]) -> list[tuple[str, list[Place]]]:
    found: dict[str, list[Place]] = {}
    for place in dict.fromkeys(places):
        found.setdefault(str(traces.value(place.node, place.input)), []).append(place)
    return list(found.items())


def _other_texts(traces: Traces) -> Iterator[Parameter]:
    """Nodes of services take a prompt themselves."""
    for node_id, node in traces.graph.items():
        for spec in traces.specs(node_id):
            value = node["inputs"].get(spec.name)
            if spec.name in {"prompt", "text"} and spec.type == "STRING" and isinstance(value, str):
                most = max(LONGEST_PROMPT, len(value))
                yield parameter("prompt", Kind.TEXT, at(Place(node_id, spec.name)), default=value, maximum=most)
            elif spec.name == "negative_prompt" and isinstance(value, str):
                most = max(LONGEST_PROMPT, len(value))
                yield parameter(
                    "negative_prompt", Kind.TEXT, at(Place(node_id, spec.name)), default=value, maximum=most
                )


def pictures(traces: Traces) -> Iterator[Parameter]:
    """Each loader of a file is an image, or a mask where its image is not used."""
    for node_id, node in traces.graph.items():
        spec = next((one for one in traces.specs(node_id) if one.upload == "image"), None)
        if spec is None or not isinstance(node["inputs"].get(spec.name), str):
            continue
        is_mask = _is_mask(traces, node_id)
        name = _called(node, "mask" if is_mask else "input_image")
        yield parameter(name, Kind.MASK if is_mask else Kind.IMAGE, [Binding(node_id, spec.name)], required=True)


def _is_mask(traces: Traces, node_id: str) -> bool:
    node_class = traces.classes.get(traces.graph[node_id]["class_type"])
    outputs = node_class.outputs if node_class else ()
    used = {outputs[number] for number in traces.outputs_used(node_id) if number < len(outputs)}
    return used == {"MASK"}


def _called(node: Mapping[str, Any], usual: str) -> str:
    """What its author called the node, where that is a name: `Style picture` is style_picture."""
    title = NOT_IN_NAMES.sub("_", title_of(node).casefold()).strip("_")
    given = re.fullmatch(r"[a-z][a-z0-9_]{2,39}", title) and not title.startswith(("load", "image"))
    return title if given else usual
