"""Whatever goes wrong reaches a native client in the shape of ComfyUI's own errors (wire contracts 1, 4).

ComfyUI answers many mistakes of clients with 500 and a text; here each is 400 and says what is wrong.
"""

from collections.abc import Mapping
from typing import Any, cast

from starlette.responses import PlainTextResponse, Response

from atelier.comfy.refusals import top_error
from atelier.kit.http.answers import json_response
from atelier.kit.http.problems import Problem

_PLAIN = {404: "404: Not Found", 405: "405: Method Not Allowed"}
"""What aiohttp says of paths and methods that it does not have."""

_AS_INVALID = frozenset({409, 422})
"""ComfyUI knows one status for a prompt that it does not take."""


def native_envelope(problem: Problem) -> Response:
    """`{"error": {type, message, details, extra_info}, "node_errors": {…}}`; an unknown path is told as text."""
    if problem.status in _PLAIN:
        return PlainTextResponse(_PLAIN[problem.status], problem.status, problem.headers)
    status = 400 if problem.status in _AS_INVALID else problem.status
    return json_response(_judgement(problem) or _told(problem), status, problem.headers)


def sentence(words: str, status: int = 400, **further: object) -> Response:
    """`{"error": "<words>"}`: how the job API refuses (wire contract 6)."""
    return json_response({"error": words, **further}, status)


def _judgement(problem: Problem) -> Mapping[str, Any] | None:
    """What was found wrong with a graph is in ComfyUI's shape already."""
    details = problem.details or {}
    if not isinstance(details.get("error"), dict):
        return None
    return {"error": details["error"], "node_errors": cast("object", details.get("node_errors", {}))}


def _told(problem: Problem) -> Mapping[str, Any]:
    return {"error": top_error(problem.code, problem.message, **(problem.details or {})), "node_errors": {}}
