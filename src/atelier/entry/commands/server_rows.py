"""A server as a terminal shows it: one line in a list, or all that is known of it."""

from collections.abc import Iterator, Sequence
from typing import Any

from atelier.entry.commands.printing import facts, print_line, rows, size, span
from atelier.fleet.machine import machine_of
from atelier.fleet.store.operating import Run, Seen, ServerEvent
from atelier.kit import clock


def line(seen: Seen) -> dict[str, Any]:
    """All servers are enabled, mostly: what is unusual of one stands in its notes."""
    server, machine = seen.server, machine_of(seen.server.system)
    memory = f"{size(machine.vram_free)} of {size(machine.vram_total)} free" if machine.vram_total else ""
    return {
        "id": server.id,
        "url": server.url,
        "state": str(seen.state),
        "since": server.health_at,
        "reason": server.quarantine_reason or server.health_reason,
        "gpu": machine.gpu,
        "vram": memory,
        "jobs": len(seen.runs) or None,
        "warm": " + ".join(server.warm),
        "driven_by": seen.driver,
        "notes": ", ".join(notes(seen)),
    }


def notes(seen: Seen) -> Iterator[str]:
    """What an operator set, where it is not the usual."""
    server = seen.server
    if not server.enabled:
        yield "switched off"
    if server.drain:
        yield "drained"
    if server.share < 1:
        yield f"canary: {server.share:.0%}"
    if server.max_per_minute is not None:
        yield f"{server.max_per_minute or 'any number'} a minute"
    if server.run_timeout is not None:
        yield f"runs at most {span(server.run_timeout)}"
    if server.only_dispatcher:
        yield f"private to {server.only_dispatcher}"


def tell(seen: Seen, events: Sequence[ServerEvent], packs: Sequence[str]) -> None:
    """All of it."""
    machine = machine_of(seen.server.system)
    shown = line(seen) | {
        "comfyui": machine.comfyui_version,
        "named_by": str(seen.server.origin),
        "pytorch": machine.pytorch_version,
        "packs": list(packs),
        "quarantined": seen.server.quarantined_at,
        "probe_asked": seen.server.probe_asked_at,
    }
    facts(shown)
    print_line("")
    rows([_run(run) for run in seen.runs], script=False, nothing="It runs nothing.")
    print_line("")
    rows([_event(event) for event in events], script=False, nothing="Nothing happened to it yet.")


def _run(run: Run) -> dict[str, Any]:
    return {
        "job": str(run.job_id),
        "account": run.account,
        "attempt": run.attempt,
        "state": run.state,
        "for": span((clock.utcnow() - run.since).total_seconds()),
    }


def _event(event: ServerEvent) -> dict[str, Any]:
    return {"at": event.created_at, "what": event.kind, "data": dict(event.data)}
