"""How large what a graph makes is, and how many there are, as parameters."""

from collections.abc import Iterable, Iterator

from atelier.workflows.model import Binding, Choice, Kind, Parameter
from atelier.workflows.proposing.parts import SENSIBLE, at, number, parameter
from atelier.workflows.proposing.tracing import Place, Traces

MOST_IN_A_BATCH = 8
LARGEST_SIDE = 4_096
RATIOS = ((1, 1), (4, 3), (3, 4), (3, 2), (2, 3), (16, 9), (9, 16))


def sizes(traces: Traces) -> Iterator[Parameter]:
    """Width and height of what is made from nothing, how many, how many frames."""
    for node_id in traces.graph:
        if not _makes_canvas(traces, node_id):
            continue
        width, height = traces.of_input(node_id, "width"), traces.of_input(node_id, "height")
        if width and height and width != height:
            yield from _size(traces, node_id, width, height)
        yield from _count(traces, node_id, ("batch_size",), "batch_size", MOST_IN_A_BATCH)
        yield from _count(
            traces, node_id, ("length", "num_frames", "frames"), "frames", int(SENSIBLE["frames"][1])
        )


def _makes_canvas(traces: Traces, node_id: str) -> bool:
    inputs = traces.graph[node_id]["inputs"]
    node_class = traces.classes.get(traces.graph[node_id]["class_type"])
    return {"width", "height"} <= inputs.keys() and node_class is not None and "LATENT" in node_class.outputs


def _size(traces: Traces, node_id: str, width: Place, height: Place) -> Iterator[Parameter]:
    sides = traces.value(width.node, width.input), traces.value(height.node, height.input)
    if not all(isinstance(side, int) and not isinstance(side, bool) and 16 <= side <= 16_384 for side in sides):
        return
    spec = traces.spec(node_id, "width")
    step = max(16, int((spec.options.get("step") if spec else None) or 16))
    tiles = _tiles(sides[0], sides[1], max(step, 64) if _divisible(sides, 64) else step)
    bind = [Binding(width.node, width.input, "width"), Binding(height.node, height.input, "height")]
    least, most = min(256, *sides), max(LARGEST_SIDE // 2, *sides)
    yield parameter(
        "aspect_ratio",
        Kind.ASPECT_RATIO,
        bind,
        default=tiles[0].value,
        choices=tiles,
        minimum=least,
        maximum=most,
        step=step if _divisible(sides, step) else 1,
    )


def _divisible(sides: Iterable[int], step: int) -> bool:
    return all(side % step == 0 for side in sides)


def _tiles(width: int, height: int, step: int) -> tuple[Choice, ...]:
    """The size that the graph has first, then others of about as many pixels."""
    own = Choice(_ratio(width, height), width=width, height=height)
    tiles = {own.value: own}
    for across, down in RATIOS:
        unit = (width * height / (across * down)) ** 0.5
        sides = [max(step, round(unit * part / step) * step) for part in (across, down)]
        tiles.setdefault(f"{across}:{down}", Choice(f"{across}:{down}", width=sides[0], height=sides[1]))
    return tuple(tiles.values())


def _ratio(width: int, height: int) -> str:
    exact = next((f"{a}:{b}" for a, b in RATIOS if width * b == height * a), None)
    return exact or f"{width}x{height}"


def _count(traces: Traces, node_id: str, inputs: Iterable[str], name: str, most: int) -> Iterator[Parameter]:
    for given in inputs:
        place = traces.of_input(node_id, given)
        value = traces.value(place.node, place.input) if place else None
        if place and isinstance(value, int) and not isinstance(value, bool) and value >= 1:
            spec = traces.spec(node_id, given)
            step = (spec.options.get("step") if spec else None) or 1
            least = int(number(spec.options.get("min") if spec else None, 1)) or 1
            step = step if (value - least) % step == 0 else 1
            bounds = {"minimum": min(least, value), "maximum": max(most, value), "step": step}
            yield parameter(name, Kind.INT, at(place), default=value, **bounds)
            return
