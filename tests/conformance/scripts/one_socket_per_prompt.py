"""A web interface over many servers: one socket per prompt, flags first, kinds told by the first bytes."""

import asyncio
import json
import sys
import uuid
from typing import Any

import aiohttp

url, key, graph_file, mode = sys.argv[1:]


async def generate(session: aiohttp.ClientSession, prompt: dict[str, Any]) -> dict[str, Any]:
    client_id = uuid.uuid4().hex
    kinds: list[str] = []
    frames: set[int] = set()
    started = False
    async with session.ws_connect(f"{url}/ws?clientId={client_id}", max_msg_size=0) as ws:
        await ws.send_str(json.dumps({"type": "feature_flags", "data": {"supports_preview_metadata": True}}))
        async with session.post(f"{url}/prompt", json={"prompt": prompt, "client_id": client_id}) as answer:
            answer.raise_for_status()
            prompt_id = (await answer.json())["prompt_id"]
        async for message in ws:
            raw = message.data.encode() if isinstance(message.data, str) else message.data
            if not raw.startswith((b'{"type":', b'{ "type"')):
                frames.add(int.from_bytes(raw[:4], "big"))
                continue
            one = json.loads(raw)
            kinds.append(one["type"])
            started = started or (one["type"] == "execution_start" and one["data"]["prompt_id"] == prompt_id)
            if mode == "interrupt" and one["type"] == "progress":
                await (await session.post(f"{url}/interrupt", json={"prompt_id": prompt_id})).release()
            if started and one["type"] == "executing" and one["data"]["node"] is None:
                break
    async with session.get(f"{url}/history/{prompt_id}") as answer:
        entry = (await answer.json())[prompt_id]
    async with session.post(f"{url}/history", json={"delete": [prompt_id]}) as answer:
        answer.raise_for_status()
    async with session.get(f"{url}/history/{prompt_id}") as answer:
        left = await answer.json()
    return {"kinds": kinds, "frames": sorted(frames), "status": entry["status"], "left": left}


async def main(prompt: dict[str, Any]) -> dict[str, Any]:
    async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {key}"}) as session:
        return await generate(session, prompt)


with open(graph_file, encoding="utf-8") as file:
    print(json.dumps(asyncio.run(main(json.load(file)))))
