"""How dispatchers share the fleet: each its part of the servers that work, and of those that do not; pure.

A server that only one dispatcher can reach is that one's alone, whatever it holds beside it. What runs is never
dropped: a dispatcher above its share gives idle servers first, and a busy one when it is idle.
"""

import math
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass

from atelier.kit.ids import ServerId

OWNER_GONE_SECONDS = 60.0
"""A private server's owner that is away for longer will not end what it left there; somebody else does."""


@dataclass(frozen=True, slots=True)
class Seat:
    """One server as it is shared. `owner`: the name of the dispatcher that alone can reach it, else empty.

    `usable`: its operator has not taken it out of use. `takes_jobs`: nor is it drained. `works`: nor is it offline
    or quarantined. `mine`: we hold it; `free`: nobody alive does. `orphaned`: attempts live there, we cannot reach
    it, and its owner has been away for long.
    """

    server_id: ServerId
    owner: str = ""
    usable: bool = True
    takes_jobs: bool = True
    works: bool = True
    mine: bool = False
    free: bool = False
    orphaned: bool = False


@dataclass(frozen=True, slots=True)
class Plan:
    """`leaving` are ours to give up once they are idle; of each of `wanted` we may take as many as it says.

    `take_jobs`: those of ours, and those that we may get, that may be given jobs.
    """

    leaving: frozenset[ServerId]
    wanted: tuple[tuple[tuple[ServerId, ...], int], ...]
    take_jobs: frozenset[ServerId]


def plan(seats: Sequence[Seat], me: str, alive: Collection[str], busy: Callable[[ServerId], bool]) -> Plan:
    """What the dispatcher called `me` should hold; `alive` are the names of all that live, ours too."""
    of_my_name = sum(name == me for name in alive)
    kinds = (
        ([seat for seat in seats if not seat.owner and seat.works], len(alive)),
        ([seat for seat in seats if not seat.owner and not seat.works], len(alive)),
        ([seat for seat in seats if seat.owner and seat.owner == me], of_my_name),
        ([seat for seat in seats if seat.orphaned], 1),
    )
    surplus = {seat.server_id for kind, sharers in kinds for seat in _surplus(kind, sharers, busy)}
    leaving = surplus | {seat.server_id for seat in seats if seat.mine and not seat.usable}
    wanted = (_wanted(kind, sharers) for kind, sharers in kinds)
    able = {seat.server_id for seat in seats if seat.takes_jobs and seat.owner in {"", me}}
    return Plan(frozenset(leaving), tuple(one for one in wanted if one[1]), frozenset(able - leaving))


def _share(kind: Sequence[Seat], sharers: int) -> int:
    return math.ceil(len(kind) / max(sharers, 1))


def _surplus(kind: Sequence[Seat], sharers: int, busy: Callable[[ServerId], bool]) -> Iterable[Seat]:
    held = [seat for seat in kind if seat.mine]
    held.sort(key=lambda seat: (not busy(seat.server_id), seat.server_id))
    return held[_share(kind, sharers) :]


def _wanted(kind: Sequence[Seat], sharers: int) -> tuple[tuple[ServerId, ...], int]:
    free = tuple(seat.server_id for seat in kind if seat.free)
    held = sum(seat.mine for seat in kind)
    return free, min(max(_share(kind, sharers) - held, 0), len(free))
