"""Which server a client's requests to a pack of nodes go to: always the same one, while it is there.

Packs name their routes freely. A server has the pack as far as is known when one of its packs is called like the
route; where none is, whoever answers has it.
"""

import re
from collections.abc import Iterable, Mapping
from urllib.parse import unquote

from atelier.dialects.auth import Call
from atelier.dialects.comfyui.reach import Reach, preferred
from atelier.fleet.machine import packs
from atelier.fleet.model import Server
from atelier.fleet.pages import Pages, module_of
from atelier.kit.ids import ServerId

SHORTEST = 3
"""Letters of a route's name that can be told in the name of a pack."""
MOST_STICKY = 10_000
MOST_KNOWN = 1_000

_PLAIN = re.compile(r"[^a-z0-9]+")


async def candidates(call: Call, reach: Reach, root: str, who: str) -> list[Server]:
    """Servers to ask for a route that begins with `root`, best first: where `who` was before, then who has it."""
    told = await call.services.shelf.pages(call.services.database)
    before = reach.sticky.get(_key(who, root))
    everybody = preferred(reach.servers(), who)
    named = {server.id for server in everybody if any(fits(root, name) for name in _names(reach, server, told))}
    return sorted(everybody, key=lambda one: (one.id != before, one.id not in named))


def stick(reach: Reach, server: Server, root: str, who: str) -> None:
    """Send `who` there again."""
    reach.sticky[_key(who, root)] = server.id
    reach.sticky.move_to_end(_key(who, root))
    while len(reach.sticky) > MOST_STICKY:
        reach.sticky.popitem(last=False)


def fits(root: str, pack: str) -> bool:
    """Whether a pack of this name may well have routes below `root`."""
    route, name = _plain(root), _plain(pack)
    return min(len(route), len(name)) >= SHORTEST and (route in name or name in route)


def _names(reach: Reach, server: Server, told: Mapping[ServerId, Pages]) -> Iterable[str]:
    pages = told.get(server.id)
    scripts = {unquote(module_of(path)) for path in pages.extensions} if pages else set[str]()
    return scripts | _packs(reach, server)


def _packs(reach: Reach, server: Server) -> frozenset[str]:
    """They are read off all classes of a server, which may be thousands: once."""
    digest = server.inventory_digest or b""
    if digest not in reach.packs:
        inventory = reach.fleet.inventory_of(server.id)
        if inventory is None:
            return frozenset()
        if len(reach.packs) > MOST_KNOWN:
            reach.packs.clear()
        reach.packs[digest] = frozenset(packs(inventory))
    return reach.packs[digest]


def _plain(name: str) -> str:
    return _PLAIN.sub("", name.lower()).removeprefix("comfyui")


def _key(who: str, root: str) -> str:
    return f"{who}\0{root}"
