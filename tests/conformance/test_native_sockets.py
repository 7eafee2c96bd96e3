"""To the sockets of the native API many API processes are one server, and the death of one is a short break."""

import uuid
from pathlib import Path

import aiohttp

from atelier.kit.database import Database
from conformance.apart import Apart, apart, serve
from support.fleet import picture, sampled
from support.sockets import MODERN, connected
from tools.chaos.processes import free_port


async def post(started: Apart, url: str, graph: object, client_id: str = "me") -> str:
    prompt_id = str(uuid.uuid4())
    body = {"prompt": graph, "prompt_id": prompt_id, "client_id": client_id}
    async with (
        aiohttp.ClientSession() as http,
        http.post(f"{url}/prompt", json=body, headers=started.headers) as answer,
    ):
        assert answer.status == 200, await answer.text()
    return prompt_id


async def history(started: Apart, url: str, prompt_id: str) -> object:
    async with (
        aiohttp.ClientSession() as http,
        http.get(f"{url}/history/{prompt_id}", headers=started.headers) as answer,
    ):
        return (await answer.json()).get(prompt_id)


async def test_sockets_and_prompts_meet_over_processes(
    tmp_path: Path, database: Database, database_url: str
) -> None:
    async with apart(tmp_path, database, database_url) as started:
        other = await serve(started.fleet, "api-2", free_port())
        async with (
            connected(other, started.headers, "me", MODERN) as far,
            connected(started.url, started.headers, "me", MODERN) as near,
        ):
            for number in range(5):
                prompt_id = await post(started, started.url, picture(number))
                for socket, url in ((far, other), (near, started.url)):
                    types = [kind for kind in await socket.finished(prompt_id) if not kind.startswith("progress")]
                    assert types == [
                        "execution_start",
                        "execution_cached",
                        "executing",
                        "executing",
                        "executed",
                        "execution_success",
                        "executing",
                    ]
                    assert await history(started, url, prompt_id)


async def test_a_client_whose_process_dies_goes_on_at_another(
    tmp_path: Path, database: Database, database_url: str
) -> None:
    async with apart(tmp_path, database, database_url) as started:
        other = await serve(started.fleet, "api-2", free_port())
        async with connected(other, started.headers, "me") as first:
            prompt_id = await post(started, other, sampled(steps=100))
            await first.until("progress", prompt_id=prompt_id)
            await started.fleet.kill("api-2")
            await first.closed()
        async with connected(started.url, started.headers, "me") as again:
            types = await again.finished(prompt_id)

        assert types.count("execution_success") == 1
        assert await history(started, started.url, prompt_id)
