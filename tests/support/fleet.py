"""A whole Atelier without the API for one test: real database, simulated servers on real ports, a dispatcher."""

import asyncio
import contextlib
import dataclasses
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from atelier.accounts import service as accounts
from atelier.accounts.model import Caller, Role
from atelier.comfy.client import Timeouts
from atelier.dispatch.context import Context
from atelier.dispatch.dispatcher import Dispatcher
from atelier.dispatch.model import DispatchSettings
from atelier.dispatch.pace import Pace
from atelier.dispatch.telemetry import Telemetry
from atelier.fleet import service as fleet
from atelier.fleet.view import FleetView
from atelier.intake.service import Intake, Order
from atelier.jobs import service as jobs
from atelier.jobs.model import Job
from atelier.jobs.relay import Relay
from atelier.kit.background import Background, background
from atelier.kit.database import Database
from atelier.kit.ids import AccountId, DispatcherId, JobId, KeyId, new_uuid
from atelier.kit.wakeups import Wakeups
from atelier.simulator.config import SimulatorConfig
from atelier.simulator.server import serve
from atelier.storage.local_folder import LocalFolder
from atelier.storage.model import Storage

QUICK = DispatchSettings(
    heartbeat=0.3, expiry=1.5, hold=1.0, lost_after=1.0, drain=0.0, timeouts=Timeouts(connect=2, read=5)
)


def picture(color: int = 0, *, width: int = 32, prefix: str = "test") -> dict[str, Any]:
    """EmptyImage -> SaveImage: runs everywhere."""
    return {
        "1": {
            "class_type": "EmptyImage",
            "inputs": {"width": width, "height": 32, "batch_size": 1, "color": color},
        },
        "2": {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": prefix}},
    }


def sampled(seed: int = 1, steps: int = 4, checkpoint: str = "simulated_xl.safetensors") -> dict[str, Any]:
    """Text to image through a checkpoint and a sampler: takes `steps` times the simulator's step time."""
    return {
        "1": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": checkpoint}},
        "2": {"class_type": "CLIPTextEncode", "inputs": {"text": "a lighthouse", "clip": ["1", 1]}},
        "3": {"class_type": "CLIPTextEncode", "inputs": {"text": "blurry", "clip": ["1", 1]}},
        "4": {"class_type": "EmptyLatentImage", "inputs": {"width": 64, "height": 64, "batch_size": 1}},
        "5": {
            "class_type": "KSampler",
            "inputs": {
                "model": ["1", 0],
                "positive": ["2", 0],
                "negative": ["3", 0],
                "latent_image": ["4", 0],
                "seed": seed,
                "steps": steps,
                "cfg": 7.0,
                "sampler_name": "euler",
                "scheduler": "normal",
                "denoise": 1.0,
            },
        },
        "6": {"class_type": "VAEDecode", "inputs": {"samples": ["5", 0], "vae": ["1", 2]}},
        "7": {"class_type": "SaveImage", "inputs": {"images": ["6", 0], "filename_prefix": "test"}},
    }


@dataclass(slots=True)
class Ground:
    """What a test drives. `caller` owns the jobs that `submit` makes."""

    database: Database
    wakeups: Wakeups
    storage: Storage
    intake: Intake
    view: FleetView
    caller: Caller
    http: aiohttp.ClientSession
    tasks: Background
    relay: Relay

    async def add_server(self, url: str, server_id: str, headers: Mapping[str, str] | None = None) -> None:
        async with self.database.transaction() as tx:
            await fleet.add(tx, url, server_id=server_id, headers=headers)
        self.wakeups.publish("fleet")

    async def submit(self, graph: Mapping[str, Any], **order: Any) -> Job:
        return await self.intake.submit(self.caller, Order(graph, "test", **order))

    async def read(self, job_id: JobId) -> Job:
        async with self.database.transaction() as tx:
            return await jobs.read(tx, self.caller.account_id, job_id)

    async def cancel(self, job_id: JobId) -> Job:
        async with self.database.transaction() as tx:
            job = await jobs.cancel(tx, self.caller.account_id, job_id)
        self.wakeups.publish("cancel")
        return job

    async def ended(self, job_id: JobId, seconds: float = 30) -> Job:
        return await self._until(job_id, lambda job: job.state.terminal, seconds)

    async def began(self, job_id: JobId, seconds: float = 30) -> Job:
        return await self._until(job_id, lambda job: job.state == "running" or job.state.terminal, seconds)

    async def _until(self, job_id: JobId, enough: Any, seconds: float) -> Job:
        with self.wakeups.subscribe(f"job:{job_id}") as woken:
            async with asyncio.timeout(seconds):
                while not enough(job := await self.read(job_id)):
                    await woken.wait(0.2)
        return job

    async def known(self, count: int) -> None:
        """Until `count` servers have told what they can run."""
        async with asyncio.timeout(10):
            while sum(server.inventory_digest is not None for server in self.view.servers) < count:
                await asyncio.sleep(0.02)
                await self.view.refresh()

    def dispatcher(self, settings: DispatchSettings = QUICK, **changes: Any) -> Dispatcher:
        return Dispatcher(
            Context(
                me=DispatcherId(new_uuid()),
                settings=dataclasses.replace(settings, **changes),
                database=self.database,
                storage=self.storage,
                wakeups=self.wakeups,
                relay=self.relay,
                http=self.http,
                telemetry=Telemetry(self.database, self.wakeups),
                pace=Pace(self.database),
                view=self.view,
            )
        )


@contextlib.asynccontextmanager
async def ground_on(database: Database, folder: Path) -> AsyncGenerator[Ground]:
    wakeups = Wakeups(database)
    view = FleetView(database, wakeups)
    async with database.transaction() as tx:
        account = await accounts.create_account(tx, "tester")
    async with aiohttp.ClientSession() as http, background() as tasks:
        intake = Intake(database, view, wakeups, jobs.QueueBounds(10_000, 10_000), 3600, 3600)
        tasks.start(wakeups.run())
        tasks.start(view.run())
        caller = Caller(AccountId(account.id), KeyId(new_uuid()), Role.MEMBER, max_priority=10)
        relay = Relay(database, wakeups)
        tasks.start(relay.run())
        yield Ground(database, wakeups, LocalFolder(folder), intake, view, caller, http, tasks, relay)


@pytest.fixture
async def ground(database: Database, tmp_path: Path) -> AsyncGenerator[Ground]:
    async with ground_on(database, tmp_path / "files") as made:
        yield made


@contextlib.asynccontextmanager
async def simulator(config: SimulatorConfig | None = None) -> AsyncGenerator[str]:
    """A simulated server in this process, on a free port. Gives its address."""
    address = asyncio.get_running_loop().create_future()
    async with background() as tasks:
        tasks.start(
            serve(
                config or SimulatorConfig(control=True),
                "127.0.0.1",
                0,
                ready=lambda host, port: address.set_result(f"http://{host}:{port}"),
            )
        )
        yield await address
