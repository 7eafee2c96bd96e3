"""The official editor of ComfyUI works unmodified at /comfy/ for whoever is signed in.

It computes the address of its API from its own path, so that the native routes and the socket are found below
/comfy as well. Its files come from the optional package comfyui-frontend-package.
"""

from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Mount, Route, Router

from atelier.accounts.model import Unauthorized
from atelier.dialects.auth import Call, identify
from atelier.dialects.comfyui import api as native_api
from atelier.userdata import service as userdata
from atelier.webui.editor_files import INDEX, NOT_UNASKED, EditorFiles, installed

HOME = "/comfy/"
READ = ("GET", "HEAD")
EXTENSIONS = "extensions"
ICONS = "/assets/images"
"""The editor asks for the icons of its progress at the root of the host, wherever it is itself, and without the
key that may stand in its own path: they are the package's, and public.
"""

FIRST_VISIT = {"Comfy.TutorialCompleted": True, "Comfy.Notification.ShowVersionUpdates": False}
"""A new account begins with a graph and not with a choice of templates, which come with another package; and
nobody is told of ComfyUI's releases, as they are not Atelier's.
"""

MISSING = """<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>The editor is not installed</title>
<style>body{font:16px/1.5 system-ui,sans-serif;max-width:38rem;margin:15vh auto;padding:0 1rem;color:#222}
code{background:#eee;padding:.2em .4em;border-radius:4px}</style>
<h1>The editor is not installed</h1>
<p>ComfyUI's own editor is an optional part of Atelier (30 MB to fetch, 130 MB on disk).
Install it where Atelier runs, then start Atelier again:</p>
<p><code>./run editor</code> in a clone, else <code>pip install 'atelier[editor]'</code></p>
<p>Everything else works without it: programs that speak to ComfyUI need no editor.</p>
</html>
"""


def routes(folder: Path | None, native: Sequence[BaseRoute]) -> list[BaseRoute]:
    """All below /comfy: the editor's files of `folder`, then `native`; without a folder a page says what to do."""
    ways_in = [Route(HOME.rstrip("/"), _with_slash, methods=READ)]
    if folder is None:
        return [*ways_in, _mounted([Route("/", _missing, methods=READ), *native])]
    icons = Route(f"{ICONS}/{{path:path}}", EditorFiles(folder).public, methods=READ)
    door = Route("/", EditorFiles(folder, name=INDEX, refused=_to_sign_in, admitted=_welcome).answer, methods=READ)
    return [*ways_in, icons, _mounted([door, *_files(folder), *_blanks(), *native])]


def _mounted(below: Sequence[BaseRoute]) -> Mount:
    return Mount(HOME.rstrip("/"), Router(below, redirect_slashes=False))


def _files(folder: Path) -> list[BaseRoute]:
    """One route for each entry of the folder; below `extensions` also packs of servers have theirs."""
    entries = [path for path in folder.iterdir() if path.name not in {EXTENSIONS, INDEX}]
    entries += [*(folder / EXTENSIONS).iterdir()] if (folder / EXTENSIONS).is_dir() else []
    files = EditorFiles(folder)
    found: list[BaseRoute] = []
    for path in sorted(entries):
        below = "/{path:path}" if path.is_dir() else ""
        found.append(Route(f"/{path.relative_to(folder).as_posix()}{below}", files.answer, methods=READ))
    return found


def _blanks() -> list[BaseRoute]:
    """What the editor asks for and may be without: a style of its user's own, templates."""
    return [
        Route("/user.css", _blank("", "text/css"), methods=READ),
        Route("/templates/index_logo.json", _blank("{}", "application/json"), methods=READ),
        Route("/templates/index.json", _blank("[]", "application/json"), methods=READ),
        Route("/templates/index.{locale}.json", _blank("[]", "application/json"), methods=READ),
    ]


def _blank(content: str, content_type: str) -> Callable[[Request], Awaitable[Response]]:
    async def answer(request: Request) -> Response:
        await identify(request)
        return Response(content, media_type=content_type, headers={"Cache-Control": NOT_UNASKED})

    return answer


async def _welcome(call: Call) -> None:
    """Who has never changed a setting begins with ours."""
    account_id = call.caller.account_id
    async with call.services.database.transaction() as tx:
        if not await userdata.settings(tx, account_id):
            await userdata.change_settings(tx, account_id, FIRST_VISIT)


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
