"""Everything that browsers see besides the APIs: sign-in, and what else registers here by one line."""

from starlette.routing import BaseRoute

ROUTES: tuple[BaseRoute, ...] = ()
"""Matched after the routes of all dialects."""
