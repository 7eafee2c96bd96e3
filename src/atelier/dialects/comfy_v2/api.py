"""All operations of Comfy API v2 under their prefix."""

from fastapi import APIRouter

from atelier.dialects.comfy_v2 import assets, jobs, schemas
from atelier.dialects.comfy_v2.wire import PREFIX

BODY_MODELS = (schemas.NewJob, schemas.FromHash)

router = APIRouter(prefix=PREFIX)
router.include_router(jobs.router)
router.include_router(assets.router)
