"""What a requirement set needs, in words, and which servers have it; pure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from atelier.fleet import requirements
from atelier.fleet.inventory import Inventory
from atelier.fleet.model import Health, Requirement, Server

MOST_NAMED = 5
_WORKS = frozenset({Health.READY, Health.DEGRADED})


@dataclass(frozen=True, slots=True)
class Who:
    """`able`: have all of it, as far as is known; `ready`: of these, who takes jobs now."""

    able: tuple[Server, ...]
    ready: tuple[Server, ...]


def words(wanted: Requirement) -> str:
    """`sd15.safetensors, vae.pt; 9 node classes`."""
    classes = len(wanted.classes)
    nodes = f"{classes} node class{'' if classes == 1 else 'es'}"
    if classes == 0 or classes > MOST_NAMED:
        return "; ".join(part for part in (_named(models(wanted)), nodes) if part)
    return "; ".join(part for part in (_named(models(wanted)), _named(sorted(wanted.classes))) if part)


def models(wanted: Requirement) -> list[str]:
    """The model files, sorted."""
    return sorted({ref.value for ref in wanted.models})


def who_can(wanted: Requirement, servers: Sequence[Server], inventories: Iterable[Inventory]) -> Who:
    """Judged by what each told last, also when it is away now."""
    fit = {one.digest for one in inventories if not requirements.missing(one, wanted)}
    able = tuple(server for server in servers if server.inventory_digest in fit)
    return Who(able, tuple(server for server in able if takes_jobs(server)))


def takes_jobs(server: Server) -> bool:
    """Whether it is given jobs now."""
    return server.takes_jobs and server.health in _WORKS


def _named(names: Sequence[str]) -> str:
    shown = ", ".join(names[:MOST_NAMED])
    return f"{shown} and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else shown
