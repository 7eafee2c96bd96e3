"""Valid submissions carry a graph that a fleet can run, so that what follows a job is tried on real jobs."""

import random
from typing import Any

import schemathesis
from schemathesis import Case, GenerationMode, HookContext

SUBMIT = "POST /api/v2/jobs"
MAKE = frozenset({"POST /api/v1/generate", "POST /api/v1/generate/single", "POST /api/v1/generate/quote"})
"""Of a workflow that comes with every installation; the answer is not waited for longer than the fuzz would."""


@schemathesis.hook
def before_call(context: HookContext, case: Case[Any], **_: Any) -> None:
    """Schemathesis asks this before every request."""
    positive = case.meta is not None and case.meta.generation.mode is GenerationMode.POSITIVE
    if positive and case.operation.label == SUBMIT and isinstance(case.body, dict):
        case.body["workflow"] = _graph()
    if positive and case.operation.label in MAKE and isinstance(case.body, dict):
        case.body |= {"workflow_id": "text-to-image-sd15", "version": None, "prompt": "a boat"}
    if case.query and "wait" in case.query:
        case.query["wait"] = 0.1


def _graph() -> dict[str, Any]:
    color = random.randrange(2**24)  # noqa: S311 - a colour
    return {
        "1": {"class_type": "EmptyImage", "inputs": {"width": 8, "height": 8, "batch_size": 1, "color": color}},
        "2": {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": "fuzz"}},
    }
