"""A file that could not be made what was asked for tells so in its event."""

import uuid

import httpx

from atelier.assets import service as assets
from atelier.jobs import service as jobs
from atelier.jobs.model import Made, OutputKind
from atelier.kit.ids import AssetId, JobId, new_uuid
from support.graphs import picture
from support.stage import Stage


async def test_an_output_event_says_why_its_file_is_as_its_node_saved_it(
    client: httpx.AsyncClient, stage: Stage
) -> None:
    job = (await client.post("/api/v2/jobs", json={"workflow": picture()})).json()["id"]
    claim = await stage.start(JobId(uuid.UUID(job)))
    received = await assets.receive_bytes(stage.database, stage.storage, b"picture")
    made = [
        Made(AssetId(new_uuid()), "9", name, OutputKind.IMAGE, "image/png", 7, received.hash, note=note)
        for name, note in (("a.png", ""), ("b.png", "It is too wide."))
    ]
    assert await jobs.succeed(stage.database, claim, made)

    told = (await client.get(f"/api/v1/jobs/{job}/events")).text

    outputs = [line for line in told.splitlines() if '"output"' in line and line.startswith("data:")]
    assert ['"note":"It is too wide."' in line.replace('": "', '":"') for line in outputs] == [False, True]
    assert '"note":null' in outputs[0]
