"""The official editor of ComfyUI works unmodified at /comfy/ for whoever is signed in.

It computes the address of its API from its own path, so that the native routes and the socket are found below
/comfy as well. Its files come from the optional package comfyui-frontend-package.
"""

from collections.abc import Sequence
from pathlib import Path

from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Mount, Route, Router

from atelier.accounts.model import Unauthorized
from atelier.dialects.auth import identify
from atelier.dialects.comfyui import api as native_api
from atelier.webui.editor_files import INDEX, EditorFiles, installed

HOME = "/comfy/"
EXTENSIONS = "extensions"

MISSING = """<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>The editor is not installed</title>
<style>body{font:16px/1.5 system-ui,sans-serif;max-width:38rem;margin:15vh auto;padding:0 1rem;color:#222}
code{background:#eee;padding:.2em .4em;border-radius:4px}</style>
<h1>The editor is not installed</h1>
<p>ComfyUI's own editor is an optional part of Atelier (30 MB to fetch, 130 MB on disk).
Install it where Atelier runs, then start Atelier again:</p>
<p><code>pip install 'atelier[editor]'</code></p>
<p>Everything else works without it: programs that speak to ComfyUI need no editor.</p>
</html>
"""


def routes(folder: Path | None, native: Sequence[BaseRoute]) -> list[BaseRoute]:
    """All below /comfy: the editor's files of `folder`, then `native`; without a folder a page says what to do."""
    files = [] if folder is None else _files(folder)
    below = [
        Route("/", _missing if folder is None else _door(folder).answer, methods=["GET", "HEAD"]),
        *files,
        *native,
    ]
    inside = Router(below, redirect_slashes=False)
    return [Route(HOME.rstrip("/"), _with_slash, methods=["GET", "HEAD"]), Mount(HOME.rstrip("/"), inside)]


def _door(folder: Path) -> EditorFiles:
    return EditorFiles(folder, name=INDEX, refused=_to_sign_in)


def _files(folder: Path) -> list[BaseRoute]:
    """One route for each entry of the folder; below `extensions` also packs of servers have theirs."""
    entries = [path for path in folder.iterdir() if path.name not in {EXTENSIONS, INDEX}]
    entries += [*(folder / EXTENSIONS).iterdir()] if (folder / EXTENSIONS).is_dir() else []
    files = EditorFiles(folder)
    found: list[BaseRoute] = []
    for path in sorted(entries):
        below = "/{path:path}" if path.is_dir() else ""
        found.append(
            Route(f"/{path.relative_to(folder).as_posix()}{below}", files.answer, methods=["GET", "HEAD"])
        )
    return found


async def _with_slash(_: Request) -> Response:
    """The editor's addresses are relative, also behind a key in the path."""
    return RedirectResponse("comfy/", 307)


async def _missing(request: Request) -> Response:
    try:
        await identify(request)
    except Unauthorized as unauthorized:
        return _to_sign_in(request, unauthorized)
    return HTMLResponse(MISSING, 404, headers={"Cache-Control": "no-store"})


def _to_sign_in(request: Request, unauthorized: Unauthorized) -> Response:
    """A browser is shown where to sign in; a program is told what it lacks."""
    if "text/html" not in request.headers.get("accept", ""):
        raise unauthorized
    return RedirectResponse(f"/login?next={HOME}", 303, headers={"Cache-Control": "no-store"})


ROUTES: tuple[BaseRoute, ...] = tuple(routes(installed(), native_api.ROUTES))
