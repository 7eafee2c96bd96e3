"""A client of one simulated server that says what a test means and waits for the end of what it started."""

import asyncio
import io
import json
from dataclasses import dataclass
from typing import Any

import aiohttp
from PIL import Image

PATIENCE = 20.0


@dataclass(frozen=True)
class Asker:
    session: aiohttp.ClientSession
    base: str

    async def get(self, path: str, **query: Any) -> Any:
        async with self.session.get(self.base + path, params=query) as response:
            return await response.json()

    async def post(self, path: str, body: Any) -> tuple[int, Any]:
        """The status, and the body as JSON if it is that."""
        async with self.session.post(self.base + path, json=body) as response:
            text = await response.text()
            return response.status, json.loads(text) if text.startswith(("{", "[")) else text

    async def submit(self, graph: dict[str, Any], **more: Any) -> str:
        status, answer = await self.post("/prompt", {"prompt": graph, **more})
        assert status == 200, answer
        return str(answer["prompt_id"])

    async def run(self, graph: dict[str, Any]) -> dict[str, Any]:
        """The history entry of the graph once it has ended."""
        return await self.ended(await self.submit(graph))

    async def ended(self, prompt_id: str) -> dict[str, Any]:
        entry = await self.wait_until(f"/history/{prompt_id}", prompt_id)
        found: dict[str, Any] = entry[prompt_id]
        return found

    async def wait_until(self, path: str, *there: str, **wanted: Any) -> Any:
        """The first answer of `path` in which these members are there, and those are as wanted."""
        async with asyncio.timeout(PATIENCE):
            while True:
                answer = await self.get(path)
                as_wanted = all(answer.get(name) == value for name, value in wanted.items())
                if as_wanted and all(name in answer for name in there):
                    return answer
                await asyncio.sleep(0.005)

    async def pictures(self, graph: dict[str, Any]) -> list[Image.Image]:
        """Run the graph; every image that it shows, in order."""
        entry = await self.run(graph)
        assert entry["status"]["status_str"] == "success", entry["status"]
        files = [file for shown in entry["outputs"].values() for file in shown["images"]]
        return [await self.picture(file) for file in files]

    async def picture(self, file: dict[str, str]) -> Image.Image:
        async with self.session.get(f"{self.base}/view", params=file) as response:
            assert response.status == 200
            image = Image.open(io.BytesIO(await response.read()))
            image.load()
            return image

    async def upload(self, name: str, image: Image.Image, **fields: str) -> str:
        encoded = io.BytesIO()
        image.save(encoded, "PNG")
        form = aiohttp.FormData(fields)
        form.add_field("image", encoded.getvalue(), filename=name, content_type="image/png")
        async with self.session.post(f"{self.base}/upload/image", data=form) as response:
            return str((await response.json())["name"])

    async def fault(self, kind: str, **more: Any) -> None:
        status, answer = await self.post("/control/fault", {"fault": kind, **more})
        assert status == 200, answer
