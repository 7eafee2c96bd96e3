"""Nodes that fail, wait or block on purpose, as ComfyUI's own test pack has them."""

import json
import os
from collections.abc import Mapping

from PIL import Image

from atelier.kit import clock
from atelier.simulator.nodes.call import Blocked, Call, Later, Made, Node, NodeFailed
from atelier.simulator.pictures import Picture

_SLEEP_TICK = 0.1

WAITING = frozenset({"TestSleep", "TestAsyncError"})
"""Nodes that give way while they wait; ComfyUI starts them as early as it can."""


def stub_image(call: Call) -> Made:
    content, size = call.text("content"), (call.int("width"), call.int("height"))
    if content == "NOISE":
        image = Image.frombytes("RGB", size, os.urandom(size[0] * size[1] * 3))
    else:
        image = Image.new("RGB", size, content.lower())
    return Made(((Picture(image),) * call.int("batch_size"),))


def stub_value(call: Call) -> Made:
    return Made((call.inputs["value"],))


def sleep(call: Call) -> Later:
    """Wait for `seconds`, telling each tenth of a second how long it has been."""
    seconds, started = call.float("seconds"), clock.monotonic()

    def finish() -> Made:
        while (passed := clock.monotonic() - started) < seconds:
            call.watch(passed, seconds)
            call.shop.sleep(min(_SLEEP_TICK, seconds - passed))
        return Made((call.inputs["value"],))

    return Later(finish)


def fail(_call: Call) -> Made:
    msg = "Intentional sync execution error for testing"
    raise RuntimeError(msg)


def fail_later(call: Call) -> Later:
    def finish() -> Made:
        call.shop.sleep(call.float("error_after"))
        msg = "Intentional async execution error for testing"
        raise RuntimeError(msg)

    return Later(finish)


def block(call: Call) -> Made:
    if not call.get("block", bool):
        return Made((call.inputs["input"],))
    return Made((Blocked("Blocked Execution" if call.get("verbose", bool) else None),))


def send_event(call: Call) -> Made:
    """Say something of its own to whoever asked for the prompt, as packs do; it names no prompt."""
    call.send(call.text("event"), json.loads(call.text("data")))
    return Made((call.inputs["value"],))


def cycle(_call: Call) -> Made:
    """The real node grows a subgraph that waits for itself; only the way it ends is shown here."""
    exception_type = "graph.DependencyCycleError"
    raise NodeFailed(exception_type, "Dependency cycle detected")


TEST_NODES: Mapping[str, Node] = {
    "StubImage": stub_image,
    "StubInt": stub_value,
    "StubFloat": stub_value,
    "TestSleep": sleep,
    "TestSyncError": fail,
    "TestAsyncError": fail_later,
    "TestExecutionBlocker": block,
    "TestSendEvent": send_event,
    "TestDynamicDependencyCycle": cycle,
}
