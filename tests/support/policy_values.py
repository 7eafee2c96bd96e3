"""Slots, waiting jobs and a fleet as the policy is told of them, short to write."""

from collections.abc import Callable
from dataclasses import dataclass
from uuid import NAMESPACE_DNS, UUID, uuid5

from atelier.fleet.model import Party, Slot, SlotKind, Waiting
from atelier.kit.ids import AccountId, JobId, ServerId

A, B, C = ServerId("a"), ServerId("b"), ServerId("c")


def _can_all(_server_id: ServerId, _requirement: int) -> bool:
    return True


@dataclass(frozen=True)
class Fleet:
    """Knows the same of all servers: what runs and loads take (seconds), and which can run what."""

    able: Callable[[ServerId, int], bool] = _can_all
    run: float | None = 3.0
    load: float = 5.0

    def satisfies(self, server_id: ServerId, requirement_id: int) -> bool:
        return self.able(server_id, requirement_id)

    def run_seconds(self, _shape: bytes, _server_id: ServerId, /) -> float | None:
        return self.run

    def load_seconds(self, _lane: str, _server_id: ServerId, /) -> float:
        return self.load


KNOWN = Fleet()


def slot(server_id: ServerId, rest: float | None = None, warm: str = "") -> Slot:
    """Idle, or free for one more prompt that begins in `rest` seconds."""
    kind = SlotKind.IDLE if rest is None else SlotKind.AHEAD
    return Slot(server_id, 1, kind, rest or 0.0, frozenset({warm} if warm else ()))


def party(account: str = "somebody", end_user: str = "", *, priority: int = 5) -> Party:
    return Party(priority, AccountId(uuid5(NAMESPACE_DNS, account)), end_user)


def waiting(
    position: int,
    lane: str = "",
    *,
    requirement: int = 1,
    age: float = 0.0,
    who: Party | None = None,
    number: float | None = None,
) -> Waiting:
    """Its id is its position, so that a failure can be read."""
    job_id = JobId(UUID(int=position))
    return Waiting(job_id, requirement, lane, b"", who or party(), position, age, number=number)
