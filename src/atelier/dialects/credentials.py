"""What a request says about who asks is taken out of it here, in every spelling: nothing behind sees it."""

import base64
import binascii
import enum
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from urllib.parse import unquote, unquote_plus, unquote_to_bytes

from starlette.types import Scope

COOKIE = "atelier_session"
PREFIX = "k"
"""`/k/<key>/…` is the path behind it, asked with that key."""

MISPLACED = "/key-in-a-path"
"""What becomes of a path that has a key in another place than behind `/k/`: there is nothing at it."""

Headers = list[tuple[bytes, bytes]]

_SCHEMES = {"bearer", "key"}
_ANY_KEY = re.compile(rb"(?<![A-Za-z0-9_-])atl_[A-Za-z0-9_-]{43}(?![A-Za-z0-9_-])")


class Means(enum.StrEnum):
    """How a credential came. Browsers send BASIC, SESSION and what is BOUND whichever page asks them to."""

    HEADER = "header"
    PATH = "path"
    QUERY = "query"
    BASIC = "basic"
    BOUND = "bound"
    SESSION = "session"


@dataclass(frozen=True, slots=True)
class Credential:
    """A key in plain text, or the token of a session."""

    means: Means
    secret: str = field(repr=False)


def take(scope: Scope) -> tuple[Credential, ...]:
    """All credentials of a request, in the order they came; afterwards the scope has none of them.

    The scope is changed in place: the server that made it writes its own lines about it.
    """
    found = [*_from_path(scope), *_from_headers(scope)]
    tokens = _from_query(scope)
    if scope["type"] == "websocket":
        found += tokens
    if _ANY_KEY.search(unquote_to_bytes(scope["raw_path"])):
        scope["path"], scope["raw_path"] = MISPLACED, MISPLACED.encode()
    return tuple(found)


def _from_path(scope: Scope) -> list[Credential]:
    """One for each `/k/<key>` that the path begins with."""
    raw: bytes = scope.setdefault("raw_path", scope["path"].encode())
    found: list[Credential] = []
    while (behind := _behind_prefix(raw)) is not None:
        secret, raw = behind
        found.append(Credential(Means.PATH, secret))
    if found:
        scope["raw_path"] = raw
        scope["path"] = unquote(raw.decode("latin-1")) or "/"
    return found


def _behind_prefix(raw: bytes) -> tuple[str, bytes] | None:
    root, _, rest = raw.lstrip(b"/").partition(b"/")
    if unquote(root.decode("latin-1")) != PREFIX or not rest:
        return None
    key, slash, path = rest.partition(b"/")
    return unquote(key.decode("latin-1")), slash + path


def _from_headers(scope: Scope) -> list[Credential]:
    found: list[Credential] = []
    kept: Headers = []
    for name, value in scope["headers"]:
        match name:
            case b"authorization":
                found += _authorization(value.decode("latin-1"))
            case b"x-api-key":
                found.append(Credential(Means.HEADER, value.decode("latin-1").strip()))
            case b"cookie":
                tokens, rest = _cookies(value.decode("latin-1"))
                found += (Credential(Means.SESSION, token) for token in tokens)
                kept += [(name, rest.encode("latin-1"))] if rest else []
            case b"referer" if _ANY_KEY.search(value):
                pass
            case _:
                kept.append((name, value))
    scope["headers"] = kept
    return found


def _authorization(value: str) -> Iterable[Credential]:
    scheme, _, said = value.strip().partition(" ")
    if scheme.lower() in _SCHEMES:
        yield Credential(Means.HEADER, said.strip())
    elif scheme.lower() == "basic":
        yield Credential(Means.BASIC, _password(said.strip()))


def _password(encoded: str) -> str:
    """Of `user:password`; the user where there is no password (RFC 7617). What is neither is an empty key."""
    try:
        user, _, password = base64.b64decode(encoded, validate=True).decode().partition(":")
    except (binascii.Error, ValueError):
        return ""
    return password or user


def _cookies(header: str) -> tuple[list[str], str]:
    """The tokens of ours, and the header without them."""
    pairs = [pair.strip() for pair in header.split(";")]
    ours = [pair.partition("=")[2] for pair in pairs if pair.partition("=")[0] == COOKIE]
    return ours, "; ".join(pair for pair in pairs if pair.partition("=")[0] != COOKIE)


def _from_query(scope: Scope) -> list[Credential]:
    """`?token=` is for sockets, as a browser's can send no header; elsewhere it is taken out and opens nothing."""
    pairs = scope["query_string"].split(b"&")
    tokens = [value for name, _, value in (pair.partition(b"=") for pair in pairs) if name == b"token"]
    if tokens:
        scope["query_string"] = b"&".join(pair for pair in pairs if pair.partition(b"=")[0] != b"token")
    return [Credential(Means.QUERY, unquote_plus(token.decode("latin-1"))) for token in tokens]
