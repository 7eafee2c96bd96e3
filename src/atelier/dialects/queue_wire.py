"""The queue's figures as they are shown; what a requirement set needs is said in words."""

import dataclasses
import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel, Field

from atelier.accounts.model import Account
from atelier.fleet import needs
from atelier.fleet.model import Requirement
from atelier.fleet.view import FleetView
from atelier.jobs.queue import Tally
from atelier.jobs.store.stats import Group
from atelier.kit.ids import AccountId


class TallyShown(BaseModel):
    """Counts of jobs. `delayed` of those that wait are tried again in a while; `placed` wait on a server."""

    waiting: int
    delayed: int
    placed: int
    running: int
    canceling: int
    oldest_seconds: float | None = Field(description="How long the oldest has waited.")


class ClassShown(TallyShown):
    priority: int


class LaneShown(TallyShown):
    """`lane`: the large models that these jobs load; empty: none."""

    lane: list[str]


class RequirementShown(TallyShown):
    """`able`: servers that could run it as far as is known, `ready` of them take jobs now."""

    id: int
    needs: str
    models: list[str]
    able: int
    ready: int


class AccountShown(TallyShown):
    """`weight`: its part of the fleet beside others' 1. `max_running` null: the setting's."""

    account: str
    weight: float
    max_running: int | None


class LeftOut(BaseModel):
    """Rows beyond the limit, those with the fewest jobs."""

    lanes: int
    requirements: int
    accounts: int


class LimitsShown(BaseModel):
    """As this process is set; 0: no limit."""

    max_queued: int
    max_queued_per_account: int
    max_running: int
    max_running_per_account: int
    server_jobs_per_minute: int


class PunctualityShown(BaseModel):
    """How true the first expectation of a job was that this process told, over the last thousand jobs; seconds.

    `bias` is positive when jobs begin later than was told; `close`: the part within 20 % of the wait, or 1 s.
    """

    samples: int
    median: float | None
    mean_absolute: float | None
    bias: float | None
    close: float | None


class QueueShown(BaseModel):
    as_of: str
    totals: TallyShown
    classes: list[ClassShown]
    lanes: list[LaneShown]
    requirements: list[RequirementShown]
    accounts: list[AccountShown]
    left_out: LeftOut
    dead_letters: int
    limits: LimitsShown
    eta_errors: PunctualityShown


class Cleaned(BaseModel):
    """`cursor` null: all were looked at."""

    deleted: int
    cursor: str | None


@dataclasses.dataclass(frozen=True, slots=True)
class Speller:
    """Spells tables of at most `top` rows, as of `now`."""

    now: dt.datetime
    top: int
    fleet: FleetView

    def tally(self, tally: Tally) -> dict[str, Any]:
        age = tally.oldest_age(self.now)
        return {
            "waiting": tally.waiting,
            "delayed": tally.delayed,
            "placed": tally.placed,
            "running": tally.running,
            "canceling": tally.canceling,
            "oldest_seconds": None if age is None else round(age, 1),
        }

    def classes(self, rows: Sequence[tuple[int, Tally]]) -> list[dict[str, Any]]:
        return [{"priority": each, **self.tally(tally)} for each, tally in sorted(rows, reverse=True)]

    def lanes(self, rows: Sequence[tuple[str, Tally]]) -> list[dict[str, Any]]:
        return [{"lane": lane.split("|") if lane else [], **self.tally(tally)} for lane, tally in rows[: self.top]]

    def requirements(
        self, rows: Sequence[tuple[int, Tally]], known: Mapping[int, Requirement]
    ) -> list[dict[str, Any]]:
        shown = [(each, known[each], tally) for each, tally in rows[: self.top] if each in known]
        return [{**self._needs(each, wanted), **self.tally(tally)} for each, wanted, tally in shown]

    def accounts(
        self, rows: Sequence[tuple[AccountId, Tally]], named: Mapping[AccountId, Account]
    ) -> list[dict[str, Any]]:
        shown = [(named[each], tally) for each, tally in rows[: self.top] if each in named]
        return [
            {
                "account": account.name,
                "weight": account.weight,
                "max_running": account.max_running,
                **self.tally(tally),
            }
            for account, tally in shown
        ]

    def left_out(self, groups: Sequence[Group]) -> dict[str, int]:
        kinds = {
            "lanes": len({group.lane for group in groups}),
            "requirements": len({group.requirement_id for group in groups}),
            "accounts": len({group.account_id for group in groups}),
        }
        return {kind: max(count - self.top, 0) for kind, count in kinds.items()}

    def _needs(self, requirement_id: int, wanted: Requirement) -> dict[str, Any]:
        found = needs.who_can(wanted, self.fleet.servers, self.fleet.inventories())
        return {
            "id": requirement_id,
            "needs": needs.words(wanted),
            "models": needs.models(wanted),
            "able": len(found.able),
            "ready": len(found.ready),
        }
