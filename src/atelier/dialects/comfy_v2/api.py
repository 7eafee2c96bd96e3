"""All operations of Comfy API v2; the hottest are matched first."""

from atelier.dialects.comfy_v2 import assets, jobs, schemas

BODY_MODELS = (schemas.NewJob, schemas.FromHash)

ROUTES = (*jobs.router.routes, *assets.router.routes)
