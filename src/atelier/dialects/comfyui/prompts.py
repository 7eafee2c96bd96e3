"""POST /prompt accepts a job: when it is answered, the job is durable and ends exactly once (wire contract 3)."""

from starlette.requests import Request
from starlette.responses import Response

from atelier.dialects.auth import Call
from atelier.dialects.comfyui.numbers import shown_number
from atelier.dialects.comfyui.parsing import parse_prompt
from atelier.dialects.comfyui.routing import get, post
from atelier.intake import native as intake
from atelier.jobs import native
from atelier.kit.http import bodies
from atelier.kit.http.answers import json_response


async def submit(request: Request, call: Call) -> Response:
    """The prompt's id, its number, and what was wrong with output nodes that will not run."""
    services = call.services
    raw = await bodies.read(request, services.json_limit)
    order = parse_prompt(raw, request.headers.get("comfy-usage-source"))
    accepted = await intake.submit(services.intake, call.caller, order)
    services.hub.submitted(call.caller.account_id, accepted.job.id, accepted.prompt_id, order.client_id)
    return json_response(
        {
            "prompt_id": accepted.prompt_id,
            "number": shown_number(accepted.number),
            "node_errors": accepted.node_errors,
        }
    )


async def remaining(_: Request, call: Call) -> Response:
    """How many prompts of the account wait or run."""
    async with call.services.database.autocommit() as tx:
        count = await native.remaining(tx, call.caller.account_id)
    return json_response({"exec_info": {"queue_remaining": count}})


ROUTES = [post("/prompt", submit), get("/prompt", remaining)]
