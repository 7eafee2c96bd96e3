"""The assets API of newer ComfyUI is switched off, and says so as a server does that has it off (contract 12).

Its ids name files of a server; who wants files by their content asks Comfy API v2 (/api/v2/assets).
"""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from atelier.dialects.auth import Call
from atelier.dialects.comfyui.routing import every
from atelier.kit.http.answers import json_response

REASON = "The assets API is not enabled on this server."


async def disabled(_: Request, __: Call) -> Response:
    return json_response({"error": {"code": "SERVICE_DISABLED", "message": REASON, "details": {}}}, 503)


PREFIXED: list[Route] = [
    every("/api/assets", disabled),
    every("/api/assets/{rest:path}", disabled),
    every("/api/tags", disabled),
]
"""They exist with the prefix alone."""
