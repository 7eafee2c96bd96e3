"""All routes of the native API; the hottest are matched first."""

from starlette.routing import BaseRoute

from atelier.dialects.comfyui.routing import twinned

TWINNED: tuple[BaseRoute, ...] = (*twinned(()),)

ROUTES: tuple[BaseRoute, ...] = TWINNED
