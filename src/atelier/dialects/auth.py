"""Who is asking is settled before anything of the request's body is read."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends
from starlette.requests import Request

from atelier.accounts.model import Caller, Forbidden, Role, Unauthorized
from atelier.dialects.links import base_url
from atelier.dialects.services import Services


@dataclass(frozen=True, slots=True)
class Call:
    """One request of a known caller. `base` is the absolute address of our links, without a last slash."""

    services: Services
    caller: Caller
    base: str


async def identify(request: Request) -> Call:
    """The caller by its bearer key. Raises Unauthorized."""
    services: Services = request.app.state.services
    caller = await services.authenticator.authenticate(_bearer(request))
    return Call(services, caller, base_url(request, services.public_url))


def _bearer(request: Request) -> str:
    scheme, _, key = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not key.strip():
        raise Unauthorized("Send your API key in the header 'Authorization: Bearer <key>'.")
    return key.strip()


Known = Annotated[Call, Depends(identify)]
"""What every endpoint outside of PUBLIC_ROUTES takes."""


def require_admin(call: Call) -> None:
    """Raises Forbidden unless the key is an admin's."""
    if call.caller.role is not Role.ADMIN:
        raise Forbidden("This needs an admin's key.")
