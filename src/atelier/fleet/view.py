"""The fleet as one process sees it, at most seconds old; it judges graphs without a query."""

import asyncio
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import psycopg
import structlog

from atelier.comfy.catalog import Catalog
from atelier.comfy.validation import Generation, Verdict, validate
from atelier.comfy.validation_inputs import Ignore
from atelier.fleet import requirements, store
from atelier.fleet.inventory import Inventory
from atelier.fleet.model import Requirement, Server
from atelier.kit.database import Database
from atelier.kit.errors import Kind, Refusal
from atelier.kit.wakeups import Wakeups

REFRESH_SECONDS = 5.0

_log = structlog.get_logger(__name__)


class NobodyCanRun(Refusal):
    """No registered server, not even an offline one, could run this graph."""

    kind = Kind.UNPROCESSABLE
    code = "invalid_workflow"


@dataclass(frozen=True, slots=True)
class _Snapshot:
    servers: tuple[Server, ...]
    inventories: Mapping[bytes, Inventory]


class FleetView:
    """Last known inventories of all registered servers, also of offline ones."""

    def __init__(self, database: Database, wakeups: Wakeups) -> None:
        self._database = database
        self._wakeups = wakeups
        self._snapshot = _Snapshot((), {})
        self._requirement_ids: dict[bytes, int] = {}

    async def run(self) -> None:
        """Keep the view fresh until cancelled."""
        with self._wakeups.subscribe("fleet") as woken:
            while True:
                try:
                    await self.refresh()
                except (psycopg.Error, OSError) as error:
                    _log.warning("fleet.view_stale", reason=str(error))
                await woken.wait(REFRESH_SECONDS)
                await asyncio.sleep(0)

    async def refresh(self) -> None:
        async with self._database.transaction() as tx:
            servers = tuple(await store.servers(tx))
            digests = {server.inventory_digest for server in servers if server.inventory_digest}
            known = {digest: kept for digest, kept in self._snapshot.inventories.items() if digest in digests}
            for inventory in await store.inventories(tx, digests - known.keys()):
                known[inventory.digest] = inventory
        self._snapshot = _Snapshot(servers, known)

    @property
    def servers(self) -> tuple[Server, ...]:
        return self._snapshot.servers

    def inventories(self) -> Iterator[Inventory]:
        """The different inventories of the fleet."""
        return iter(self._snapshot.inventories.values())

    def judge(self, requirement: Requirement, graph: Mapping[str, Any], ignore: Ignore | None) -> None:
        """Raise NobodyCanRun in ComfyUI's words, with the nearest names; silent while no inventory is known."""
        able = [one for one in self.inventories() if not requirements.missing(one, requirement)]
        if not able:
            if self._snapshot.inventories:
                raise self._refusal(requirement, graph, ignore)
            return
        verdicts = [_judged(graph, inventory.catalog, ignore) for inventory in able]
        if all(verdict.error is not None for verdict in verdicts):
            raise _invalid(verdicts[0])

    async def requirement_id(self, digest: bytes, requirement: Requirement) -> int:
        """The id of a requirement set; asked of the database once per process."""
        known = self._requirement_ids.get(digest)
        if known is None:
            async with self._database.transaction() as tx:
                known = await store.requirement_id(tx, digest, requirement)
            if len(self._requirement_ids) > 20_000:
                self._requirement_ids.clear()
            self._requirement_ids[digest] = known
        return known

    def _refusal(self, requirement: Requirement, graph: Mapping[str, Any], ignore: Ignore | None) -> NobodyCanRun:
        gaps = [requirements.missing(one, requirement) for one in self.inventories()]
        gap = min(gaps, key=lambda missing: (len(missing.classes), len(missing.models)))
        sentences = [self._class_sentence(name) for name in sorted(gap.classes)]
        refs = sorted(gap.models, key=lambda ref: ref.value)
        sentences += [self._model_sentence(ref.class_type, ref.input_name, ref.value) for ref in refs]
        closest = min(
            (_judged(graph, one.catalog, ignore) for one in self.inventories()), key=lambda v: len(v.node_errors)
        )
        details = {
            "error": closest.error,
            "node_errors": closest.node_errors,
            "missing_node_classes": {name: self._near_classes(name) for name in sorted(gap.classes)},
            "missing_models": {
                ref.value: self._near_models(ref.class_type, ref.input_name, ref.value) for ref in refs
            },
        }
        return NobodyCanRun("No server can run this: " + " ".join(sentences), details=details)

    def _class_sentence(self, name: str) -> str:
        if any(name in one.classes for one in self.inventories()):
            return f"node class {name!r} is only on servers that lack something else."
        return f"node class {name!r} exists on none of them{_perhaps(self._near_classes(name))}."

    def _model_sentence(self, class_type: str, input_name: str, value: str) -> str:
        if any(value in (one.options(class_type, input_name) or ()) for one in self.inventories()):
            return f"model file {value!r} ({class_type}.{input_name}) is only on servers that lack something else."
        near = _perhaps(self._near_models(class_type, input_name, value))
        return f"model file {value!r} ({class_type}.{input_name}) exists on none of them{near}."

    def _near_classes(self, name: str) -> list[str]:
        return requirements.nearest(name, (known for one in self.inventories() for known in one.classes))

    def _near_models(self, class_type: str, input_name: str, value: str) -> list[str]:
        known = (one.options(class_type, input_name) or () for one in self.inventories())
        return requirements.nearest(value, (str(choice) for choices in known for choice in choices))


def _judged(graph: Mapping[str, Any], catalog: Catalog, ignore: Ignore | None) -> Verdict:
    return validate(graph, catalog, skip_files=True, ignore=ignore, generation=Generation.NEW)


def _invalid(verdict: Verdict) -> NobodyCanRun:
    error = verdict.error or {}
    message = str(error.get("message") or "The workflow is not valid.")
    if error.get("details"):
        message = f"{message}: {error['details']}"
    return NobodyCanRun(message, details={"error": error, "node_errors": verdict.node_errors})


def _perhaps(names: list[str]) -> str:
    return f" (did you mean {' or '.join(names)}?)" if names else ""
