"""The fleet as one process sees it, at most seconds old; it judges graphs without a query."""

import asyncio
import itertools
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import psycopg
import structlog

from atelier.comfy.catalog import Catalog
from atelier.comfy.validation import Generation, Verdict, validate
from atelier.comfy.validation_inputs import Ignore
from atelier.fleet import requirements
from atelier.fleet.inventory import Inventory
from atelier.fleet.model import ModelRef, Requirement, Server
from atelier.fleet.store import catalogs, roster
from atelier.kit import clock
from atelier.kit.database import Database
from atelier.kit.errors import Kind, Refusal
from atelier.kit.ids import ServerId
from atelier.kit.wakeups import Wakeups

REFRESH_SECONDS = 5.0
CALM_SECONDS = 0.05
"""A hundred servers that come at once are read twenty times a second, not a hundred times."""
ANEW_SECONDS = 3600.0
MOST_NAMED = 10
"""Missing names in one answer; each is compared with all that is known."""
MOST_FAULTY = 100
"""Faulty nodes in one answer. A graph may have thousands, and each is told with the names of a hundred others."""

MOST_JUDGES = 16
"""Different inventories that one graph is compared with wholly, the fittest first: each takes up to a second."""

_log = structlog.get_logger(__name__)


class NobodyCanRun(Refusal):
    """No registered server, not even an offline one, could run this graph."""

    kind = Kind.UNPROCESSABLE
    code = "invalid_workflow"


@dataclass(frozen=True, slots=True)
class _Snapshot:
    servers: tuple[Server, ...]
    inventories: Mapping[bytes, Inventory]

    def judge(self, requirement: Requirement, graph: Mapping[str, Any], ignore: Ignore | None) -> None:
        able = [one for one in self.inventories.values() if not requirements.missing(one, requirement)]
        if not able:
            if self.inventories:
                raise self._refusal(requirement, graph, ignore)
            return
        first: Verdict | None = None
        for inventory in able:
            verdict = _judged(graph, inventory.catalog, ignore)
            if verdict.error is None:
                return
            first = first or verdict
        if first is not None:
            raise _invalid(first)

    def verdict(
        self, graph: Mapping[str, Any], targets: Collection[Any] | None, ignore: Ignore | None
    ) -> Verdict | None:
        """Of servers that have all its node classes, what the one would say that has most of the rest."""
        whole = requirements.requirement_of(graph, self.inventories.values())
        gaps = [(requirements.missing(one, whole), one) for one in self.inventories.values()]
        gaps.sort(key=lambda found: (len(found[0].classes), len(found[0].models)))
        best: Verdict | None = None
        for gap, inventory in gaps[:MOST_JUDGES]:
            if gap.classes and best is not None:
                break
            verdict = _judged(graph, inventory.catalog, ignore, targets)
            if best is None or _goodness(verdict) > _goodness(best):
                best = verdict
            if gap.classes or not (verdict.error or verdict.node_errors):
                break
        return best

    def _refusal(self, requirement: Requirement, graph: Mapping[str, Any], ignore: Ignore | None) -> NobodyCanRun:
        gaps = ((one, requirements.missing(one, requirement)) for one in self.inventories.values())
        closest, gap = min(gaps, key=lambda found: (len(found[1].classes), len(found[1].models)))
        classes = {name: self._near_classes(name) for name in sorted(gap.classes)[:MOST_NAMED]}
        refs = sorted(gap.models, key=lambda ref: ref.value)[: MOST_NAMED - len(classes)]
        models = {ref: self._near_models(ref.class_type, ref.input_name, ref.value) for ref in refs}
        sentences = [self._class_sentence(name, near) for name, near in classes.items()]
        sentences += [self._model_sentence(ref, near) for ref, near in models.items()]
        if unnamed := len(gap.classes) + len(gap.models) - len(sentences):
            sentences.append(f"{unnamed} more are missing.")
        verdict = _judged(graph, closest.catalog, ignore)
        details = {
            **_told(verdict),
            "missing_node_classes": classes,
            "missing_models": {ref.value: near for ref, near in models.items()},
        }
        return NobodyCanRun("No server can run this: " + " ".join(sentences), details=details)

    def _class_sentence(self, name: str, near: list[str]) -> str:
        if any(name in one.classes for one in self.inventories.values()):
            return f"node class {_short(name)} is only on servers that lack something else."
        return f"node class {_short(name)} exists on none of them{_perhaps(near)}."

    def _model_sentence(self, ref: ModelRef, near: list[str]) -> str:
        named = f"model file {_short(ref.value)} ({ref.class_type}.{ref.input_name})"
        if any(
            ref.value in (one.options(ref.class_type, ref.input_name) or ()) for one in self.inventories.values()
        ):
            return f"{named} is only on servers that lack something else."
        return f"{named} exists on none of them{_perhaps(near)}."

    def _near_classes(self, name: str) -> list[str]:
        return requirements.nearest(name, (known for one in self.inventories.values() for known in one.classes))

    def _near_models(self, class_type: str, input_name: str, value: str) -> list[str]:
        known = (one.options(class_type, input_name) or () for one in self.inventories.values())
        return requirements.nearest(value, (str(choice) for choices in known for choice in choices))


class FleetView:
    """Last known inventories of all registered servers, also of offline ones."""

    def __init__(self, database: Database, wakeups: Wakeups) -> None:
        self._database = database
        self._wakeups = wakeups
        self._snapshot = _Snapshot((), {})
        self._requirement_ids: dict[bytes, int] = {}
        self._asked_anew = clock.monotonic()

    async def run(self) -> None:
        """Keep the view fresh until cancelled."""
        with self._wakeups.subscribe("fleet") as woken:
            while True:
                try:
                    await self.refresh()
                except (psycopg.Error, OSError) as error:
                    _log.warning("fleet.view_stale", reason=str(error))
                await woken.wait(REFRESH_SECONDS)
                await asyncio.sleep(CALM_SECONDS)

    async def refresh(self) -> None:
        async with self._database.transaction() as tx:
            servers = tuple(await roster.servers(tx))
            digests = {server.inventory_digest for server in servers if server.inventory_digest}
            known = {digest: kept for digest, kept in self._snapshot.inventories.items() if digest in digests}
            for inventory in await catalogs.inventories(tx, digests - known.keys()):
                known[inventory.digest] = inventory
        self._snapshot = _Snapshot(servers, known)

    @property
    def servers(self) -> tuple[Server, ...]:
        return self._snapshot.servers

    def inventories(self) -> Iterator[Inventory]:
        """The different inventories of the fleet."""
        return iter(self._snapshot.inventories.values())

    def inventory_of(self, server_id: ServerId) -> Inventory | None:
        """What this server told last; None while it told nothing, or is not there."""
        digest = next((server.inventory_digest for server in self.servers if server.id == server_id), None)
        return self._snapshot.inventories.get(digest) if digest else None

    def judge(self, requirement: Requirement, graph: Mapping[str, Any], ignore: Ignore | None) -> None:
        """Raise NobodyCanRun in ComfyUI's words, with the nearest names; silent while no inventory is known.

        It looks at one state of the fleet, so it may be called from a thread.
        """
        self._snapshot.judge(requirement, graph, ignore)

    def verdict(
        self, graph: Mapping[str, Any], targets: Collection[Any] | None = None, ignore: Ignore | None = None
    ) -> Verdict | None:
        """What a single ComfyUI that is the whole fleet would say of it; None while no inventory is known.

        `targets`: the outputs that it is to be run for (None: all). It may be called from a thread.
        """
        return self._snapshot.verdict(graph, targets, ignore)

    async def requirement_id(self, digest: bytes, requirement: Requirement) -> int:
        """The id of a requirement set; asked of the database once an hour per process.

        It is deleted a day after it was marked as named by nobody, and asking takes the mark away.
        """
        if clock.monotonic() - self._asked_anew > ANEW_SECONDS:
            self._requirement_ids, self._asked_anew = {}, clock.monotonic()
        known = self._requirement_ids.get(digest)
        if known is None:
            async with self._database.transaction() as tx:
                known = await catalogs.requirement_id(tx, digest, requirement)
            if len(self._requirement_ids) > 20_000:
                self._requirement_ids.clear()
            self._requirement_ids[digest] = known
        return known


def _judged(
    graph: Mapping[str, Any], catalog: Catalog, ignore: Ignore | None, targets: Collection[Any] | None = None
) -> Verdict:
    return validate(
        graph, catalog, partial_targets=targets, skip_files=True, ignore=ignore, generation=Generation.NEW
    )


def _goodness(verdict: Verdict) -> tuple[int, int]:
    """More good outputs are better, then fewer faulty nodes."""
    return len(verdict.outputs), -len(verdict.node_errors)


def _invalid(verdict: Verdict) -> NobodyCanRun:
    error = verdict.error or {}
    message = str(error.get("message") or "The workflow is not valid.")
    if error.get("details"):
        message = f"{message}: {error['details']}"
    return NobodyCanRun(message, details=_told(verdict))


def _told(verdict: Verdict) -> dict[str, Any]:
    return {"error": verdict.error, "node_errors": told_errors(verdict)}


def told_errors(verdict: Verdict) -> dict[str, Any]:
    """The faulty nodes of a verdict, as many as an answer may have."""
    return dict(itertools.islice(verdict.node_errors.items(), MOST_FAULTY))


def _short(name: str) -> str:
    return repr(name if len(name) <= requirements.LONGEST_NAME else name[: requirements.LONGEST_NAME] + "…")


def _perhaps(names: list[str]) -> str:
    return f" (did you mean {' or '.join(names)}?)" if names else ""
