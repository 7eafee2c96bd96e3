"""All operations of Comfy API v2; the hottest are matched first."""

from pydantic import BaseModel

from atelier.dialects.comfy_v2 import assets, jobs, parameters, schemas

BODY_MODELS: tuple[type[BaseModel], ...] = (schemas.NewJob, schemas.FromHash, *parameters.EVENT_DATA.values())

REQUEST_HEADERS = ("X-Atelier-Priority", "X-On-Behalf-Of")
ANSWER_HEADERS = ("X-Atelier-Priority", "X-Atelier-Notice")
"""What pages of other origins may send and read besides the usual headers."""

ROUTES = (*jobs.router.routes, *assets.router.routes)
