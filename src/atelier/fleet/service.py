"""What the rest of Atelier may ask of the fleet: name servers, list them, judge what they could run."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from blake3 import blake3
from psycopg.errors import UniqueViolation
from yarl import URL

from atelier.fleet.model import Health, Origin, Server
from atelier.fleet.store import freeing, operating, roster
from atelier.kit.database import Tx
from atelier.kit.errors import Kind, NotFound, Refusal
from atelier.kit.ids import ServerId

Changes = Mapping[str, Any]
"""Values of a server, by `operating.FIELDS`; what is absent stays, a limit of None is the setting's."""

LONGEST_ID = 63
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
_HEADER = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,100}")


class InvalidServer(Refusal):
    """A server's name or address cannot be used."""

    code = "invalid_server"


class ServerExists(Refusal):
    kind = Kind.CONFLICT
    code = "server_exists"


class ServerNotFound(NotFound):
    code = "server_not_found"


def normal_url(url: str) -> str:
    """`http(s)://host[:port][/prefix]` without a trailing slash, or InvalidServer with the cure."""
    text = url.strip() if "://" in url else f"http://{url.strip()}"
    try:
        _ = urlsplit(text).port
    except ValueError as error:
        raise InvalidServer(f"{url!r} has no valid port; write it like http://127.0.0.1:8188.") from error
    if not _reachable(text):
        raise InvalidServer(
            f"{url!r} is not the address of a ComfyUI server; write it like http://127.0.0.1:8188."
        )
    if URL(text).user or URL(text).password:
        raise InvalidServer("Keep passwords out of a server's address: give them as headers.")
    return text.rstrip("/")


def _reachable(text: str) -> bool:
    """Whether the client of a server could ask this address at all: it reads it with the same parser."""
    try:
        parts = URL(text)
    except ValueError:
        return False
    plain = text.isprintable() and " " not in text and not parts.query_string and not parts.fragment
    return plain and parts.scheme in {"http", "https"} and bool(parts.host)


def _check_headers(headers: Mapping[str, str]) -> None:
    """Raises InvalidServer for what no request can carry."""
    for name, value in headers.items():
        if not _HEADER.fullmatch(name) or not value.isprintable():
            raise InvalidServer(f"The header {name[:60]!r} cannot be sent: its name or value has odd characters.")


def id_from_url(url: str, owner: str = "") -> ServerId:
    """A readable id for a server that nobody named: its host and port, behind the name of who alone can reach it.

    Many machines may call their own server 127.0.0.1:8188. One that is too long ends in a part of its hash.
    """
    parts = urlsplit(url)
    port = f"-{parts.port}" if parts.port else ""
    whole = f"{owner}-{parts.hostname}{port}{parts.path}" if owner else f"{parts.hostname}{port}{parts.path}"
    name = re.sub(r"[^A-Za-z0-9._-]", "-", whole).lstrip("-._")
    if owner and len(name) > LONGEST_ID:
        name = f"{name[: LONGEST_ID - 9]}-{blake3(whole.encode()).hexdigest()[:8]}"
    return ServerId(name[:LONGEST_ID].rstrip("-"))


async def add(
    tx: Tx,
    url: str,
    *,
    server_id: str | None = None,
    headers: Mapping[str, str] | None = None,
    origin: Origin = Origin.ADDED,
    terms: Changes | None = None,
    owner: str = "",
) -> ServerId:
    """Register a server, or change the one of this id. Wake `fleet` after the commit. Gives its id.

    One that an operator adds again after it was removed is as new: not drained, without limits of its own.
    `terms`: what else is said of it, as for `change`. `owner`: the name of the dispatcher that alone can reach it.
    """
    url = normal_url(url)
    _check_headers(headers or {})
    chosen = ServerId(server_id) if server_id else id_from_url(url, owner)
    if not _ID.fullmatch(chosen):
        raise InvalidServer(f"{chosen!r} cannot be a server's id; use letters, digits, dots, dashes (63 at most).")
    await roster.one_at_a_time(tx)
    same = await _known(tx, url, owner)
    if same is not None and same.id != chosen:
        if server_id is not None and same.enabled and origin is Origin.ADDED:
            raise ServerExists(f"{url} is registered already, as {same.id}.")
        chosen = same.id
    if origin is Origin.ADDED:
        await operating.renew(tx, chosen)
    await roster.put(tx, chosen, url, headers or {}, origin, owner=owner)
    if terms:
        await operating.change(tx, chosen, terms)
    if origin is Origin.ADDED:
        await roster.record(tx, chosen, "add", {"url": url, **(terms or {})})
    return chosen


async def _known(tx: Tx, url: str, owner: str) -> Server | None:
    """The server of this address for who can reach it; one that a setting shared becomes its owner's."""
    same = await roster.by_url(tx, url, owner)
    shared = await roster.by_url(tx, url) if owner and same is None else None
    return shared if shared is not None and shared.origin is Origin.SETTING else same


async def change(tx: Tx, server_id: ServerId, to: Changes) -> operating.Seen:
    """Give a server these values. Wake `fleet` after the commit. What was so already is no event.

    Raises InvalidServer, ServerExists for an address that another one has, ServerNotFound.
    """
    values = dict(to)
    if "url" in values:
        values["url"] = normal_url(str(values["url"]))
    _check_headers(values.get("headers") or {})
    before = await seen_one(tx, server_id)
    new = {name: value for name, value in values.items() if getattr(before.server, name) != value}
    if not new:
        return before
    try:
        await operating.change(tx, server_id, new)
    except UniqueViolation as error:
        raise ServerExists(f"{values['url']} is registered already, under another id.") from error
    await roster.record(tx, server_id, *_told(new))
    return await seen_one(tx, server_id)


def _told(values: Changes) -> tuple[str, dict[str, Any]]:
    """The operator's verb, and what of it may be shown: a header's value may be a password."""
    match values:
        case {"drain": bool(drain), **others} if not others:
            return "drain" if drain else "resume", {}
        case {"enabled": bool(enabled), **others} if not others:
            return "enable" if enabled else "disable", {}
        case _:
            return "change", {name: value for name, value in values.items() if name != "headers"}


async def ask_probe(tx: Tx, server_id: ServerId) -> str:
    """Have it looked at now. Wake `fleet` after the commit. Gives what will happen, in one sentence."""
    if not await operating.ask_probe(tx, server_id):
        raise _no_server(server_id)
    await roster.record(tx, server_id, "probe_asked", {})
    seen = await seen_one(tx, server_id)
    if not seen.driver:
        return "No dispatcher drives it now: it is probed as soon as one takes it."
    if seen.server.health is Health.QUARANTINED:
        return f"{seen.driver} sends it the probe graph now; it comes back when that succeeds."
    return f"{seen.driver} asks it now whether it is well, and what it can run."


async def ask_free(tx: Tx, *, unload_models: bool, free_memory: bool) -> None:
    """Have every server in use give back memory as soon as it has no work. Wake `free` after the commit."""
    if unload_models or free_memory:
        await freeing.ask(tx, unload_models=unload_models, free_memory=free_memory)


@dataclass(frozen=True, slots=True)
class Named:
    """A server as a setting names it; an empty id is made of the address."""

    url: str
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    id: str = ""


async def follow_setting(tx: Tx, named: Sequence[Named], origin: Origin, owner: str = "") -> list[ServerId]:
    """Make the servers of this origin be exactly those named. Wake `fleet` after the commit. Gives their ids.

    `owner`: only those that the dispatcher of this name alone can reach; the others stay as they are.
    """
    await roster.remove_others(tx, origin, [], owner)
    return [
        await add(tx, one.url, server_id=one.id or None, headers=one.headers, origin=origin, owner=owner)
        for one in named
    ]


async def remove(tx: Tx, server_id: ServerId) -> None:
    """Take a server out of the fleet. Wake `fleet` after the commit."""
    if not await roster.remove(tx, server_id):
        raise _no_server(server_id)
    await roster.record(tx, server_id, "remove", {})


async def seen(tx: Tx) -> list[operating.Seen]:
    """All servers, by id, with who drives them and what runs there."""
    return await operating.seen(tx)


async def seen_one(tx: Tx, server_id: ServerId) -> operating.Seen:
    """One of them. Raises ServerNotFound."""
    found = await operating.seen_one(tx, server_id)
    if found is None:
        raise _no_server(server_id)
    return found


async def events(tx: Tx, server_id: ServerId, most: int = 50) -> Sequence[operating.ServerEvent]:
    """What happened to a server, newest first."""
    return await operating.events(tx, server_id, most)


def _no_server(server_id: ServerId) -> ServerNotFound:
    return ServerNotFound(f"There is no server {server_id}.")


async def servers(tx: Tx) -> list[Server]:
    """All servers, by id."""
    return await roster.servers(tx)
