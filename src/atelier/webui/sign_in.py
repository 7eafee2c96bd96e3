"""A browser signs in with an API key and is known by a cookie from then on; it works without JavaScript."""

import datetime as dt
import html
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from string import Template
from urllib.parse import parse_qs

from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from atelier.accounts.model import Forbidden, Unauthorized
from atelier.accounts.sessions import Opened
from atelier.dialects.auth import credentials_of, identify
from atelier.dialects.credentials import COOKIE, Means
from atelier.dialects.links import base_url
from atelier.dialects.services import Services
from atelier.kit import clock
from atelier.kit.http.answers import json_response
from atelier.kit.http.bodies import MalformedBody, parse_object, read
from atelier.kit.http.origins import foreign
from atelier.kit.http.patience import TooManyFailures
from atelier.webui.editor_files import installed

STATIC = Path(__file__).parent / "static"
BODY_LIMIT = 10_000
HOME = "/"
EDITOR = "comfy/"

CLOSED = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": (
        "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; object-src 'none'"
    ),
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
}
"""Of pages: nothing inline, nothing of others, in nobody's frame.

The referrer stays in the house, and is not gone altogether: without it browsers send `Origin: null` with a form.
"""


PUBLIC = {"Cache-Control": "public, max-age=3600", "X-Content-Type-Options": "nosniff"}
"""Of what the pages load."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What came to POST /login. `as_form`: by the page, so that the answer is a page."""

    key: str
    next: str
    as_form: bool


async def front(request: Request) -> Response:
    """GET /: the editor where it is installed, else what this is. Relative, as a key may stand before the path."""
    if installed() is None:
        return _page("front.html")
    where = EDITOR if request.scope["raw_path"] else f"/{EDITOR}"
    return RedirectResponse(where, 302, headers={"Cache-Control": "no-store"})


async def page(request: Request) -> Response:
    """GET /login: the form, or the way out for who is signed in. Goes on to `?next=`, a path of ours."""
    where = local(request.query_params.get("next", ""))
    try:
        await identify(request)
    except Unauthorized:
        return _form(where)
    return _page("signed-in.html", next=where)


async def style(_: Request) -> Response:
    """GET /login/sign-in.css."""
    return Response(_read("sign-in.css"), headers=PUBLIC, media_type="text/css")


async def icon(_: Request) -> Response:
    """GET /login/icon.svg."""
    return Response(_read("icon.svg"), headers=PUBLIC, media_type="image/svg+xml")


async def sign_in(request: Request) -> Response:
    """POST /login with a form, or `{"key": …}` as JSON: a session in a cookie.

    Raises Forbidden for a page of others (it would sign the visitor in as somebody else), MalformedBody, and
    where no form asked Unauthorized and TooManyFailures.
    """
    services = _services(request)
    _check_page(request, services)
    asked = _asked(await read(request, BODY_LIMIT), request.headers.get("content-type", ""))
    try:
        opened = await _open(request, services, asked.key)
    except (Unauthorized, TooManyFailures) as refusal:
        if not asked.as_form:
            raise
        too_often = isinstance(refusal, TooManyFailures)
        said = refusal.message if too_often else "This key opens nothing here: it is mistyped, unknown or revoked."
        return _form(asked.next, said, 429 if too_often else 401)
    await _forget_sessions(request, services)
    return _remembered(request, services, _signed_in(asked, opened), opened)


async def sign_out(request: Request) -> Response:
    """POST /logout: the session ends; a second time nothing more does. Raises Forbidden for a page of others."""
    services = _services(request)
    _check_page(request, services)
    await _forget_sessions(request, services)
    answer = RedirectResponse("/login", 303, headers={"Cache-Control": "no-store"})
    answer.delete_cookie(COOKIE, path="/", httponly=True, samesite="lax", secure=_is_secure(request, services))
    return answer


def local(where: str) -> str:
    """A path of ours to go on to; whatever else is asked for, the front page.

    Browsers read a backslash as `/` and drop control characters, and `//host` is another host.
    """
    harmless = where.isprintable() and "\\" not in where
    return where if harmless and where.startswith("/") and not where.startswith("//") else HOME


async def _open(request: Request, services: Services, key: str) -> Opened:
    source = request.client.host if request.client else ""
    services.sign_ins.check(source)
    try:
        return await services.authenticator.sign_in(key, dt.timedelta(seconds=services.session_lifetime))
    except Unauthorized:
        services.sign_ins.failed(source)
        raise


async def _forget_sessions(request: Request, services: Services) -> None:
    for one in credentials_of(request):
        if one.means is Means.SESSION:
            await services.authenticator.sign_out(one.secret)


def _asked(body: bytes, content_type: str) -> Asked:
    if "json" in content_type.lower() or body.lstrip().startswith(b"{"):
        said = parse_object(body)
        key, where, as_form = said.get("key"), said.get("next", ""), False
    else:
        fields = parse_qs(body.decode("utf-8", "replace"))
        key, where, as_form = fields.get("key", [""])[0], fields.get("next", [""])[0], True
    if not isinstance(key, str) or not isinstance(where, str):
        raise MalformedBody("`key` must be a text, and `next` a path.")
    return Asked(key.strip(), local(where), as_form)


def _signed_in(asked: Asked, opened: Opened) -> Response:
    if asked.as_form:
        return RedirectResponse(asked.next, 303)
    return json_response({"expires_at": clock.rfc3339(clock.utcnow() + opened.lifetime)})


def _remembered(request: Request, services: Services, answer: Response, opened: Opened) -> Response:
    answer.headers["Cache-Control"] = "no-store"
    answer.set_cookie(
        COOKIE,
        opened.token,
        max_age=int(opened.lifetime.total_seconds()),
        path="/",
        httponly=True,
        samesite="lax",
        secure=_is_secure(request, services),
    )
    return answer


def _is_secure(request: Request, services: Services) -> bool:
    """Behind a proxy public_url says so; what a request says about it (X-Forwarded-Proto) anybody can write."""
    return base_url(request, services.public_url).startswith("https://")


def _check_page(request: Request, services: Services) -> None:
    if foreign(request.headers, services.public_url):
        raise Forbidden("a page of another origin may not sign anybody in or out")


def _services(request: Request) -> Services:
    services: Services = request.app.state.services
    return services


def _form(where: str, trouble: str = "", status: int = 200) -> Response:
    said = f'<p class="wrong" id="wrong" role="alert">{html.escape(trouble)}</p>' if trouble else ""
    text = Template(_read("sign-in.html"))
    described = ' aria-invalid="true" aria-describedby="wrong"' if trouble else ""
    return HTMLResponse(
        text.substitute(next=html.escape(where), trouble=said, described=described), status, CLOSED
    )


def _page(name: str, **values: str) -> Response:
    text = Template(_read(name)).substitute({key: html.escape(value) for key, value in values.items()})
    return HTMLResponse(text, headers=CLOSED)


@lru_cache
def _read(name: str) -> str:
    return (STATIC / name).read_text("utf-8")


ROUTES: tuple[BaseRoute, ...] = (
    Route("/", front, methods=["GET", "HEAD"], include_in_schema=False),
    Route("/login", page, methods=["GET", "HEAD"], include_in_schema=False),
    Route("/login", sign_in, methods=["POST"], include_in_schema=False),
    Route("/login/sign-in.css", style, methods=["GET", "HEAD"], include_in_schema=False),
    Route("/login/icon.svg", icon, methods=["GET", "HEAD"], include_in_schema=False),
    Route("/logout", sign_out, methods=["POST"], include_in_schema=False),
)
