"""Which workflow does what is asked for by its purpose alone: the operator's choice, else the first that runs."""

from atelier.accounts.model import Caller
from atelier.fleet.view import FleetView
from atelier.intake.asking import NoSuchCategory
from atelier.workflows.model import Workflow
from atelier.workflows.readiness import Readiness
from atelier.workflows.registry import Registry


def first_of(
    registry: Registry, readiness: Readiness, fleet: FleetView, caller: Caller, category: str
) -> Workflow:
    """By id, those first that a server could begin now, then those that one may. Raises NoSuchCategory."""
    found = [one for one in registry.listing(caller.account_id) if one.manifest.category == category]
    if not found:
        raise NoSuchCategory(f"There is no workflow of the category {category!r}.", details={"category": category})
    look = readiness.look(fleet)
    runnable = {one.key: look.runnable(one) for one in found}
    return min(found, key=lambda one: (_rank(runnable[one.key]), one.id))


def _rank(runnable: bool | None) -> int:  # noqa: FBT001 - what `Look.runnable` gives
    return 0 if runnable else 1 if runnable is None else 2
