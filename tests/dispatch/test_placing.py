"""An input is brought to a server once, whoever asks for it and however often; what lies there is written down."""

import asyncio
import io
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from PIL import Image

from atelier.assets import service as assets
from atelier.assets.model import Draft
from atelier.comfy.client import ComfyClient
from atelier.comfy.errors import Rejected
from atelier.dispatch.placing import Placer
from atelier.fleet.store import deposits
from atelier.jobs import service as jobs
from atelier.kit.ids import AssetId, JobId, ServerId
from atelier.simulator.config import SimulatorConfig
from support.fleet import Ground, picture, simulator

SERVER = ServerId("sim-1")
PROMPT = "0c8b2f9e-0d2c-4d5e-8a52-6d2a6c1f4f11"
BODY = b"some bytes"
DAY = 86_400.0


@dataclass
class Desk:
    """A server with its folder, and every request that was sent to it."""

    ground: Ground
    url: str
    folder: Path
    http: aiohttp.ClientSession
    asked: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])

    def placer(self) -> Placer:
        """That of a dispatcher that has just come."""
        return Placer(self.ground.database, self.ground.storage, ComfyClient(self.http, self.url), SERVER)

    def uploads(self) -> int:
        return sum(method == "POST" for method, _ in self.asked)

    def files(self) -> list[Path]:
        return sorted((self.folder / "input" / "atelier").glob("*"))

    async def job(self, body: bytes = BODY) -> JobId:
        received = await assets.receive_bytes(self.ground.database, self.ground.storage, body)
        async with self.ground.database.transaction() as tx:
            draft = Draft(self.ground.caller.account_id, "image/png", file_path="a.png")
            asset = (await assets.record(tx, received, draft)).asset
        return (await self.ground.submit(loading(asset.id))).id

    async def place(self, placer: Placer, job_id: JobId) -> str:
        """What the loader is told."""
        async with self.ground.database.transaction() as tx:
            graph = await jobs.graph(tx, self.ground.caller.account_id, job_id)
        placed = await placer.place(job_id, PROMPT, graph)
        return str(placed["1"]["inputs"]["image"])

    async def take(self, age: float = DAY) -> list[str]:
        async with self.ground.database.transaction() as tx:
            return [one.path for one in await deposits.take(tx, SERVER, age)]

    async def leftovers(self, age: float = DAY) -> list[str]:
        async with self.ground.database.transaction() as tx:
            return [one.path for one in await deposits.leftovers(tx, SERVER, age)]

    async def run(self, statement: str) -> None:
        async with self.ground.database.transaction() as tx:
            await tx.execute(statement.encode())

    async def days_pass(self) -> None:
        await self.run("UPDATE server_files SET used_at = used_at - interval '9 days'")


def loading(asset_id: AssetId) -> dict[str, Any]:
    reference = {"__type": "core/ASSET", "info": {"id": str(asset_id)}}
    return {
        "1": {"class_type": "LoadImage", "inputs": {"image": reference}},
        "2": {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": "x"}},
    }


@pytest.fixture
async def desk(ground: Ground, tmp_path: Path) -> AsyncGenerator[Desk]:
    folder = tmp_path / "server"
    asked = list[tuple[str, str]]()

    async def note(_session: Any, _context: Any, asking: aiohttp.TraceRequestStartParams) -> None:
        asked.append((asking.method, asking.url.path))

    trace = aiohttp.TraceConfig()
    trace.on_request_start.append(note)
    async with (
        simulator(SimulatorConfig(directory=folder, control=True)) as url,
        aiohttp.ClientSession(trace_configs=[trace]) as http,
    ):
        yield Desk(ground, url, folder, http, asked)


async def test_one_content_is_brought_once(desk: Desk) -> None:
    placer = desk.placer()

    names = [await desk.place(placer, await desk.job()) for _ in range(3)]

    assert len(set(names)) == 1
    assert names[0].startswith("atelier/")
    assert [file.read_bytes() for file in desk.files()] == [BODY]
    assert desk.uploads() == 1


async def test_jobs_that_come_at_once_wait_for_one_upload(desk: Desk) -> None:
    placer = desk.placer()
    ids = [await desk.job() for _ in range(8)]

    async with asyncio.TaskGroup() as group:
        placing = [group.create_task(desk.place(placer, job_id)) for job_id in ids]

    assert len({task.result() for task in placing}) == 1
    assert desk.uploads() == 1


async def test_other_content_has_another_name(desk: Desk) -> None:
    placer = desk.placer()

    names = {await desk.place(placer, await desk.job(body)) for body in (b"one", b"two")}

    assert len(names) == 2
    assert sorted(file.read_bytes() for file in desk.files()) == [b"one", b"two"]


async def test_the_next_dispatcher_knows_what_lies_there(desk: Desk) -> None:
    first = await desk.place(desk.placer(), await desk.job())

    assert await desk.place(desk.placer(), await desk.job()) == first
    assert desk.uploads() == 1


@pytest.mark.parametrize("left", [None, b"some"], ids=["gone", "cut short"])
async def test_a_file_that_is_not_there_any_more_is_brought_again(desk: Desk, left: bytes | None) -> None:
    await desk.place(desk.placer(), await desk.job())
    [file] = desk.files()
    file.unlink() if left is None else file.write_bytes(left)

    name = await desk.place(desk.placer(), await desk.job())

    assert (desk.folder / "input" / name).read_bytes() == BODY
    assert desk.uploads() == 2


async def test_a_rejection_that_names_a_file_of_ours_makes_us_look_again(desk: Desk) -> None:
    placer = desk.placer()
    name = await desk.place(placer, await desk.job())
    details = {"details": f"image - Invalid image file: {name}"}
    desk.files()[0].unlink()

    assert not placer.lacks(
        Rejected({}, {"1": {"errors": [{"details": "image - Invalid image file: other.png"}]}})
    )
    assert placer.lacks(Rejected({}, {"1": {"errors": [details]}}))
    assert await desk.place(placer, await desk.job()) == name
    assert desk.uploads() == 2


async def test_a_job_whose_input_was_removed_runs_all_the_same(desk: Desk) -> None:
    ground = desk.ground
    await ground.add_server(desk.url, SERVER)
    ground.tasks.start(ground.dispatcher().run())
    await ground.known(1)
    picture_file = io.BytesIO()
    Image.new("RGB", (8, 8)).save(picture_file, "PNG")
    body = picture_file.getvalue()
    assert (await ground.ended(await desk.job(body))).state == "succeeded"
    for file in desk.files():
        file.unlink()

    ended = await ground.ended(await desk.job(body))

    assert (ended.state, ended.tries) == ("succeeded", 0)
    assert len(desk.files()) == 1


async def test_what_lies_there_is_told_when_nobody_used_it_for_long(desk: Desk) -> None:
    job_id = await desk.job()
    name = await desk.place(desk.placer(), job_id)
    await desk.days_pass()

    assert await desk.leftovers() == []
    await desk.run("UPDATE jobs SET state = 'canceled', finished_at = now()")
    assert await desk.leftovers() == [f"input/{name}"]
    assert await desk.leftovers(age=30 * DAY) == []


async def test_a_use_makes_it_young_again(desk: Desk) -> None:
    await desk.place(desk.placer(), await desk.job())
    await desk.days_pass()
    await desk.place(desk.placer(), await desk.job())
    await desk.run("UPDATE jobs SET state = 'canceled', finished_at = now()")

    assert await desk.leftovers() == []


async def test_what_somebody_is_about_to_remove_is_not_used_again(desk: Desk) -> None:
    placer = desk.placer()
    first = await desk.place(placer, await desk.job())
    await desk.days_pass()
    await desk.run("UPDATE jobs SET state = 'canceled', finished_at = now()")

    assert await desk.take() == [f"input/{first}"]
    second = await desk.place(placer, await desk.job())
    (desk.folder / "input" / first).unlink()

    assert second != first
    assert (desk.folder / "input" / second).read_bytes() == BODY
    assert await desk.take() == [f"input/{first}"]


async def test_a_job_that_takes_a_file_for_granted_is_seen_by_who_takes_leftovers(desk: Desk) -> None:
    """The job comes when the leftovers were looked at, and before they are locked."""
    await desk.place(placer := desk.placer(), await desk.job())
    await desk.run("UPDATE jobs SET state = 'canceled', finished_at = now()")
    await desk.run("UPDATE server_files SET used_at = now() - interval '1 day' + interval '2 seconds'")
    database = desk.ground.database
    async with database.transaction() as holder:
        await holder.execute("SELECT 1 FROM server_files FOR UPDATE")
        taking = asyncio.create_task(desk.take(age=1.0))  # noqa: TID251 - a test that has to stand between two steps
        await asyncio.sleep(0.2)
        job_id = await desk.job()

    assert await taking == []
    assert await desk.place(placer, job_id)
    assert desk.uploads() == 1


async def test_outputs_are_written_down_by_the_day(desk: Desk) -> None:
    ground = desk.ground
    await ground.add_server(desk.url, SERVER)
    ground.tasks.start(ground.dispatcher().run())
    await ground.known(1)
    for color in range(2):
        assert (await ground.ended((await ground.submit(picture(color))).id)).state == "succeeded"
    [day] = [path.name for path in (desk.folder / "output" / "atelier").iterdir()]

    assert await desk.leftovers(age=0) == []
    await desk.run(
        "UPDATE server_files SET reference = 'output/atelier/20200101', name = 'output/atelier/20200101'"
    )
    assert day.isdecimal()
    assert await desk.leftovers() == ["output/atelier/20200101"]
    await desk.run(
        "UPDATE attempts SET state = 'running', outcome = NULL, claimed_at = '2020-01-01' WHERE number = 1"
    )
    assert await desk.leftovers() == []
