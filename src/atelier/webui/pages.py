"""Everything that browsers see besides the APIs: sign-in, and what else registers here by one line."""

from starlette.routing import BaseRoute

from atelier.webui import editor

ROUTES: tuple[BaseRoute, ...] = (*editor.ROUTES,)
"""Matched after the routes of all dialects."""
