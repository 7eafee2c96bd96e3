"""The way in, without any dialect: an intake over a real database, and what its fleet is said to have."""

from dataclasses import dataclass
from typing import Any

from atelier.accounts.model import Caller, Role
from atelier.fleet.inventory import from_object_info
from atelier.fleet.store import catalogs
from atelier.fleet.view import FleetView
from atelier.intake.native import NativeOrder, Submitted
from atelier.intake.native import submit as submit_prompt
from atelier.intake.service import Intake, Order
from atelier.jobs import service as jobs
from atelier.jobs.model import Job
from atelier.kit.database import Database
from atelier.kit.ids import AccountId, AssetId, KeyId, ServerId, new_uuid
from atelier.kit.wakeups import Wakeups
from support.yard import Yard, make_yard

TABLES = (
    "jobs",
    "graphs",
    "holds",
    "job_events",
    "job_inputs",
    "idempotency_keys",
    "native_prompts",
)


@dataclass(slots=True)
class Door:
    yard: Yard
    intake: Intake
    view: FleetView
    wakeups: Wakeups

    async def submit(self, workflow: object, caller: Caller | None = None, **order: Any) -> Job:
        return await self.intake.submit(caller or self.caller(), Order(workflow, "test", **order))

    async def prompt(self, graph: object, caller: Caller | None = None, **order: Any) -> Submitted:
        return await submit_prompt(self.intake, caller or self.caller(), NativeOrder(graph, **order))

    def caller(self, end_user: str = "", max_priority: int = 5) -> Caller:
        return Caller(self.yard.account_id, KeyId(new_uuid()), Role.MEMBER, end_user, max_priority)

    async def asset(self, account_id: AccountId | None = None) -> AssetId:
        await self.yard.keep(b"input")
        asset_id = AssetId(new_uuid())
        await self.yard.run(
            "INSERT INTO assets (id, account_id, hash, content_type) SELECT %s, %s, hash, 'image/png' FROM blobs",
            asset_id,
            account_id or self.yard.account_id,
        )
        return asset_id

    async def knows(self, server_id: str = "server-1", **classes: Any) -> None:
        await self.yard.server(server_id)
        async with self.yard.database.transaction() as tx:
            await catalogs.save_inventory(tx, ServerId(server_id), from_object_info(classes), {})
        await self.view.refresh()

    async def written(self) -> int:
        counts = [await self.yard.value(f"SELECT count(*) FROM {table}") for table in TABLES]  # noqa: S608 - fixed
        return sum(counts)


async def make_door(database: Database) -> Door:
    """At most three jobs of an account may wait."""
    wakeups = Wakeups(database)
    view = FleetView(database, wakeups)
    intake = Intake(database, view, wakeups, jobs.QueueBounds(100, 3), queue_ttl=60.0, retention=120.0)
    return Door(await make_yard(database), intake, view, wakeups)
