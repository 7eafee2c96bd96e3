"""A signed link opens one asset until it expires; it carries no key, and nothing else can be made of it."""

import datetime as dt
import enum
import hashlib
import hmac
import re

from atelier.kit.ids import AssetId


class What(enum.StrEnum):
    """What a link opens: who may see a file small cannot make of that a link to all of it."""

    FILE = "file"
    THUMBNAIL = "thumbnail"


_SECONDS = re.compile(r"[0-9]{1,11}", re.ASCII)


def sign(secret: bytes, asset_id: AssetId, expires: dt.datetime, what: What = What.FILE) -> str:
    """The query (`expires=…&signature=…`) of a link to the asset that works until `expires` (whole seconds)."""
    seconds = str(int(expires.timestamp()))
    return f"expires={seconds}&signature={_signature(secret, asset_id, seconds, what)}"


def verify(
    secret: bytes, asset_id: AssetId, *, expires: str, signature: str, now: dt.datetime, what: What = What.FILE
) -> bool:
    """Whether `secret` signed the link and it has not expired; a wrong guess takes as long as a right one."""
    genuine = hmac.compare_digest(
        _signature(secret, asset_id, expires, what).encode(), signature.encode(errors="replace")
    )
    return genuine and _SECONDS.fullmatch(expires) is not None and int(expires) > now.timestamp()


def _signature(secret: bytes, asset_id: AssetId, expires: str, what: What) -> str:
    message = f"atelier.{what}\n{asset_id}\n{expires}".encode(errors="replace")
    return hmac.new(secret, message, hashlib.sha256).hexdigest()
