"""A workflow as a terminal shows it: one line in a list, or all that its author and the fleet say of it."""

from collections.abc import Sequence
from typing import Any

from atelier.entry.commands.printing import facts, print_line, rows
from atelier.fleet.model import Missing
from atelier.fleet.words import joined
from atelier.workflows.manifest import spelled
from atelier.workflows.model import Fault, Manifest, Parameter, Workflow
from atelier.workflows.readiness import Fit, closest, packs_for

MOST_NAMED = 5


def line(workflow: Workflow, fits: Sequence[Fit]) -> dict[str, Any]:
    manifest = workflow.manifest
    return {
        "id": workflow.id,
        "name": manifest.name.en,
        "category": manifest.category,
        "family": manifest.family,
        "version": manifest.version,
        "revision": workflow.revision,
        "origin": str(workflow.origin),
        "price": manifest.price or None,
        "servers": f"{sum(fit.able for fit in fits)} of {len(fits)}" if fits else "",
        "missing": lacking(manifest, fits),
    }


def row(workflow: Workflow, fits: Sequence[Fit]) -> dict[str, Any]:
    """For scripts."""
    return {
        **line(workflow, fits),
        "price": workflow.manifest.price,
        "shared": workflow.account_id is None,
        "draft": workflow.draft,
        "created_at": workflow.created_at,
        "servers": [fit.server.id for fit in fits if fit.able],
        "missing": missing(workflow.manifest, fits),
    }


def whole(workflow: Workflow, fits: Sequence[Fit]) -> dict[str, Any]:
    """For scripts: with its manifest, every short form spelled out."""
    return row(workflow, fits) | {"manifest": spelled(workflow.manifest)}


def tell(workflow: Workflow, fits: Sequence[Fit]) -> None:
    manifest = workflow.manifest
    shown = line(workflow, fits)
    about = {
        "description": manifest.description.en,
        "tags": list(manifest.tags),
        "min_vram_gib": manifest.min_vram,
    }
    facts({**shown, **about, "missing": "", "draft": workflow.draft or None, "created": workflow.created_at})
    print_line("\nPARAMETERS")
    rows([_parameter(one) for one in manifest.parameters], script=False, nothing="It takes none.")
    if fits:
        print_line("\nSERVERS")
        rows([_server(manifest, fit) for fit in fits], script=False, nothing="")


def lacking(manifest: Manifest, fits: Sequence[Fit]) -> str:
    """In words, what keeps it from running anywhere; empty where some server has it all, or nobody knows."""
    nearest = closest(fits)
    if nearest is None or any(fit.able for fit in fits):
        return ""
    return words(manifest, nearest)


def words(manifest: Manifest, fit: Fit) -> str:
    """What this server lacks."""
    if fit.missing is None:
        return "it has not told yet what it has"
    said = _named("node class", "node classes", sorted(fit.missing.classes))
    said += _named("model file", "model files", sorted({ref.value for ref in fit.missing.models}))
    if packs := packs_for(manifest, fit.missing):
        said.append(f"install {joined(packs)}")
    if fit.vram_short:
        said.append(f"{fit.vram:g} GiB of VRAM, it needs {manifest.min_vram:g}")
    return "; ".join(said)


def missing(manifest: Manifest, fits: Sequence[Fit]) -> dict[str, Any]:
    """By server, of those that lack something."""
    return {fit.server.id: _missing(manifest, fit, fit.missing) for fit in fits if not fit.able}


def fault(found: Fault) -> dict[str, str]:
    return {"where": found.where, "what": found.what}


def _missing(manifest: Manifest, fit: Fit, lacks: Missing | None) -> dict[str, Any]:
    return {
        "known": lacks is not None,
        "classes": sorted(lacks.classes) if lacks else [],
        "models": sorted({ref.value for ref in lacks.models}) if lacks else [],
        "packs": packs_for(manifest, lacks) if lacks else [],
        "vram_short": fit.vram_short,
    }


def _named(one: str, several: str, names: Sequence[str]) -> list[str]:
    if not names:
        return []
    more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
    return [f"{one if len(names) == 1 else several} {', '.join(names[:MOST_NAMED])}{more}"]


def _server(manifest: Manifest, fit: Fit) -> dict[str, Any]:
    able = "ready" if fit.ready else "able, and takes no jobs now"
    return {"server": fit.server.id, "can_run_it": able if fit.able else f"no: {words(manifest, fit)}"}


def _parameter(one: Parameter) -> dict[str, Any]:
    bounds = "" if one.minimum is None and one.maximum is None else f"{_end(one.minimum)} to {_end(one.maximum)}"
    return {
        "name": one.name,
        "type": str(one.kind),
        "needed": True if one.required else None,
        "default": None if one.default in ("", [], None) else one.default,
        "bounds": bounds,
        "choices": [choice.value for choice in one.choices],
        "help": one.help.en or one.label.en,
    }


def _end(bound: float | None) -> str:
    return "any" if bound is None else f"{bound:g}"
