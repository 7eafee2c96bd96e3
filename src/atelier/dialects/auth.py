"""Who is asking is settled before anything of the request's body is read.

The key of a request is the one that it says itself: in a header, before its path, or in the query of a socket. Two
different keys are refused. Where it says none, a bound listener's key stands for it, and then a signed-in
browser's session. What cannot be a key of ours is somebody else's credential: it counts only where there is no
other.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends
from starlette.requests import HTTPConnection

from atelier.accounts import rules
from atelier.accounts.model import Caller, Forbidden, Role, Unauthorized
from atelier.dialects.credentials import Credential, Means
from atelier.dialects.doors import STATE
from atelier.dialects.links import base_url
from atelier.dialects.services import Services
from atelier.kit.http.origins import foreign, same_origin

SAFE = frozenset({"GET", "HEAD", "OPTIONS"})


@dataclass(frozen=True, slots=True)
class Call:
    """One request of a known caller. `base` is the absolute address of our links, without a last slash."""

    services: Services
    caller: Caller
    base: str


async def identify(connection: HTTPConnection) -> Call:
    """The caller of a request or a socket, however it says who it is. Raises Unauthorized, Forbidden."""
    services: Services = connection.app.state.services
    chosen = choose(credentials_of(connection))
    _come_by_itself(connection, chosen, services)
    if chosen.means is Means.SESSION:
        caller = await services.authenticator.session(chosen.secret)
    else:
        caller = await services.authenticator.authenticate(chosen.secret)
    return Call(services, caller, base_url(connection, services.public_url))


def credentials_of(connection: HTTPConnection) -> Sequence[Credential]:
    """All that the request said about who asks; nothing else of it says so any more."""
    found: Sequence[Credential] = connection.scope.get("state", {}).get(STATE, ())
    return found


def choose(found: Sequence[Credential]) -> Credential:
    """The one that counts. Raises Unauthorized."""
    if len(found) == 1:
        return found[0]
    said = [one for one in found if one.means not in {Means.BOUND, Means.SESSION}]
    keys = [one for one in said if rules.plausible(one.secret)]
    if len({one.secret for one in keys}) > 1:
        raise Unauthorized("this request carries several different API keys: send one")
    bound = [one for one in found if one.means is Means.BOUND]
    signed_in = [one for one in found if one.means is Means.SESSION]
    chosen = [*sorted(keys, key=_comes_by_itself), *bound, *signed_in, *said]
    if not chosen:
        raise Unauthorized(
            "Send your API key in the header 'Authorization: Bearer <key>', or put '/k/<key>' before the path."
        )
    return chosen[0]


def require_admin(call: Call) -> None:
    """Raises Forbidden unless the key is an admin's."""
    if call.caller.role is not Role.ADMIN:
        raise Forbidden("This needs an admin's key.")


Known = Annotated[Call, Depends(identify)]
"""What every endpoint outside of PUBLIC_ROUTES takes."""


def _comes_by_itself(one: Credential) -> bool:
    return one.means is Means.BASIC


def _come_by_itself(connection: HTTPConnection, chosen: Credential, services: Services) -> None:
    """Browsers attach some credentials to whatever any page asks for: then the page must be ours.

    Raises Forbidden. Reading is free: no other page sees the answer.
    """
    if connection.scope["type"] == "http" and connection.scope["method"] in SAFE:
        return
    headers = connection.headers
    match chosen.means:
        case Means.SESSION:
            ours = same_origin(headers, services.public_url)
        case Means.BASIC | Means.BOUND:
            listed = headers.get("origin") in services.cors_origins
            ours = listed or not foreign(headers, services.public_url)
        case _:
            ours = True
    if not ours:
        raise Forbidden("a page of another origin may not ask this with what the browser sends by itself")
