"""Everything that browsers see besides the APIs: sign-in, and what else registers here by one line."""

from starlette.routing import BaseRoute

from atelier.webui import editor, sign_in

ROUTES: tuple[BaseRoute, ...] = (*sign_in.ROUTES, *editor.ROUTES)
"""Matched after the routes of all dialects."""
