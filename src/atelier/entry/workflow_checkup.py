"""Which servers can run which workflow, and what the others lack: for `atelier doctor`."""

from collections.abc import Iterator, Sequence

from atelier.entry import by_hand
from atelier.entry.commands.workflow_rows import words
from atelier.fleet.words import joined
from atelier.kit.database import Database
from atelier.kit.wakeups import Wakeups
from atelier.workflows.model import Manifest
from atelier.workflows.readiness import Fit, Readiness
from atelier.workflows.registry import Registry


async def workflow_findings(opened: Database) -> list[tuple[str, str]]:
    """What was looked at and what was found, of everybody's workflows; lacking something is no illness."""
    registry = Registry(opened, Wakeups(opened))
    await registry.refresh()
    look = Readiness().look(await by_hand.fleet_of(opened))
    every = [(one, look.fits(one)) for one in registry.listing(None)]
    if not every:
        return [("workflows", "there is none yet: those of folders come when Atelier is started")]
    able = sum(any(fit.able for fit in fits) for _, fits in every)
    summary = f"{len(every)}; {able} of them can run somewhere with their default files"
    return [("workflows", summary), *((f"workflow {one.id}", says(one.manifest, fits)) for one, fits in every)]


def says(manifest: Manifest, fits: Sequence[Fit]) -> str:
    """Where it runs, and what keeps it from running elsewhere; servers that lack the same stand together."""
    able = [fit.server.id for fit in fits if fit.able]
    where = f"runs on {joined(able)}" if able else "runs nowhere"
    return "; ".join([where, *_elsewhere(manifest, fits)])


def _elsewhere(manifest: Manifest, fits: Sequence[Fit]) -> Iterator[str]:
    lacking: dict[str, list[str]] = {}
    for fit in fits:
        if not fit.able:
            lacking.setdefault(words(manifest, fit), []).append(fit.server.id)
    for lack, servers in lacking.items():
        yield f"{joined(servers)}: {lack}"
