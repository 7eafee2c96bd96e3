"""What a long run has shown already can be seen while it goes on, by who was told of it and by nobody else."""

from collections.abc import AsyncGenerator, Mapping
from typing import Any

import pytest

from support.fleet import Ground
from support.native_site import Site, native_site
from support.serving import Tenant
from support.sockets import Socket, connected

LONG = {
    "1": {"class_type": "EmptyImage", "inputs": {"width": 16, "height": 16, "batch_size": 2, "color": 255}},
    "2": {"class_type": "PreviewImage", "inputs": {"images": ["1", 0]}},
    "3": {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": "sea/side"}},
    "4": {"class_type": "TestSleep", "inputs": {"value": ["1", 0], "seconds": 60.0}},
    "5": {"class_type": "PreviewImage", "inputs": {"images": ["4", 0]}},
}


@pytest.fixture
async def site(ground: Ground) -> AsyncGenerator[Site]:
    async with native_site(ground) as made:
        yield made


async def shown(socket: Socket, prompt_id: str) -> list[dict[str, str]]:
    """The files of the two nodes that are done at once."""
    files: list[dict[str, str]] = []
    for _ in range(2):
        told: Mapping[str, Any] = await socket.until("executed", prompt_id=prompt_id)
        files += told["output"]["images"]
    return files


async def view(site: Site, file: Mapping[str, str], who: Tenant, **query: str) -> tuple[int, bytes]:
    asked = {**file, **query}
    async with site.http.get(f"{site.near}/view", params=asked, headers=who.headers) as answer:
        return answer.status, await answer.read()


async def test_what_a_run_shows_can_be_seen_before_it_ends(site: Site) -> None:
    async with connected(site.near, site.tenant.headers, "me") as socket:
        prompt_id = await site.post(LONG)
        files = await shown(socket, prompt_id)

        seen = [await view(site, file, site.tenant) for file in files]
        by_stranger = [await view(site, file, site.stranger) for file in files]

        assert [file["type"] for file in files].count("temp") == 2
        assert {file["subfolder"] for file in files if file["type"] == "output"} == {"sea"}
        assert [status for status, _ in seen] == [200] * 4
        assert all(body.startswith(b"\x89PNG") for _, body in seen)
        assert [status for status, _ in by_stranger] == [404] * 4
        assert not await site.is_in_history(prompt_id)
        await site.ask("POST", "/interrupt", {"prompt_id": prompt_id})
        await socket.finished(prompt_id)


async def test_a_name_that_no_message_told_is_not_asked_of_a_server(site: Site) -> None:
    """Temporary files of all accounts lie in one folder there."""
    async with connected(site.near, site.tenant.headers, "me") as socket:
        prompt_id = await site.post(LONG)
        [temp, *_] = [file for file in await shown(socket, prompt_id) if file["type"] == "temp"]
        guessed = temp["filename"].replace("temp_", "temp_x")
        await site.ask("POST", "/interrupt", {"prompt_id": prompt_id})
        await socket.finished(prompt_id)

        status, _ = await view(site, temp, site.tenant, filename=guessed)
        gone, _ = await view(site, temp, site.tenant)

        assert (status, gone) == (404, 404)
