"""Links are absolute, and a signed one opens one file until it expires: the signature is the permission."""

import datetime as dt
import re
from dataclasses import dataclass

from starlette.requests import HTTPConnection

from atelier.accounts.model import Forbidden
from atelier.assets.links import What, sign, verify
from atelier.assets.pictures.thumbnails import USUAL_SIZE
from atelier.kit import clock
from atelier.kit.ids import AssetId

STEP = 3600
_HTTP = {"ws": "http", "wss": "https"}
_HOST = re.compile(r"([A-Za-z0-9_.-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(:[0-9]{1,5})?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Link:
    """An absolute URL and the moment from which on it opens nothing."""

    url: str
    expires_at: dt.datetime


@dataclass(frozen=True, slots=True)
class LinkSigner:
    """`seconds` is the least time that a link lives.

    All links to a file that are made within one hour are the same, so that a browser's cache knows them again.
    """

    secret: bytes
    seconds: int = 24 * STEP

    def link(self, base: str, asset_id: AssetId) -> Link:
        expires_at = self._expiry()
        return Link(f"{base}/files/{asset_id}?{sign(self.secret, asset_id, expires_at)}", expires_at)

    def thumbnail(self, base: str, asset_id: AssetId, size: int = USUAL_SIZE) -> Link:
        """A link to a small picture of it, and to nothing else. `size` is one of SIZES."""
        expires_at = self._expiry()
        query = sign(self.secret, asset_id, expires_at, What.THUMBNAIL)
        return Link(f"{base}/files/{asset_id}/thumbnail?size={size}&{query}", expires_at)

    def check(self, asset_id: AssetId, expires: str, signature: str) -> None:
        """Raises Forbidden for a link that is not ours or has expired."""
        if not verify(self.secret, asset_id, expires=expires, signature=signature, now=clock.utcnow()):
            raise Forbidden("This link is not valid or has expired; ask for the asset again to get a fresh one.")

    def check_thumbnail(self, asset_id: AssetId, expires: str, signature: str) -> None:
        """Raises Forbidden for a link that is not ours or has expired."""
        now, what = clock.utcnow(), What.THUMBNAIL
        if not verify(self.secret, asset_id, expires=expires, signature=signature, now=now, what=what):
            raise Forbidden("This link is not valid or has expired; ask for the asset again to get a fresh one.")

    def _expiry(self) -> dt.datetime:
        expires = (int(clock.utcnow().timestamp()) // STEP + 1) * STEP + self.seconds
        return dt.datetime.fromtimestamp(expires, dt.UTC)


def base_url(request: HTTPConnection, public_url: str | None) -> str:
    """Where clients reach us: the configured public address, else the one that this request came to.

    Its Host is the asker's own word and comes back to the asker alone; what is no host at all is not repeated.
    """
    if public_url:
        return public_url.rstrip("/")
    scope = request.scope
    host = request.headers.get("host", "")
    if not _HOST.fullmatch(host):
        host = ":".join(str(part) for part in scope.get("server") or ("localhost",))
    scheme = _HTTP.get(scope["scheme"], scope["scheme"])
    return f"{scheme}://{host}{scope.get('app_root_path', scope.get('root_path', '')).rstrip('/')}"
