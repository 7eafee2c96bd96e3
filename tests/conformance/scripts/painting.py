"""A painting program: it chooses the prompt's id, follows a state machine, and takes pictures from the socket."""

import asyncio
import json
import sys
import uuid
from typing import Any

import aiohttp

url, key, graph_file, mode = sys.argv[1:]
client_id = str(uuid.uuid4())


async def main(prompt: dict[str, Any]) -> dict[str, Any]:
    headers = {"Authorization": f"Bearer {key}"}
    async with aiohttp.ClientSession(headers=headers) as session:
        async with session.get(f"{url}/system_stats") as answer:
            stats = await answer.json()
        async with session.get(f"{url}/object_info") as answer:
            nodes = await answer.json()
        ws_url = f"{url.replace('http', 'ws', 1)}/ws?clientId={client_id}"
        async with session.ws_connect(
            ws_url, max_msg_size=2**30, timeout=aiohttp.ClientWSTimeout(ws_close=5)
        ) as ws:
            job = await run(session, ws, prompt)
    return {"device": stats["devices"][0]["type"], "checkpoints": checkpoints(nodes), **job}


async def run(
    session: aiohttp.ClientSession, ws: aiohttp.ClientWebSocketResponse, prompt: dict[str, Any]
) -> dict[str, Any]:
    prompt_id = str(uuid.uuid4())
    body = {"prompt": prompt, "client_id": client_id, "prompt_id": prompt_id, "front": True}
    async with session.post(f"{url}/prompt", json=body) as answer:
        echoed = (await answer.json())["prompt_id"]
    states: list[str] = []
    images = 0
    async for message in ws:
        if message.type is aiohttp.WSMsgType.BINARY:
            images += message.data[:8] == bytes((0, 0, 0, 1, 0, 0, 0, 2))
            continue
        one = json.loads(message.data)
        if one["data"].get("prompt_id") != prompt_id:
            continue
        if not states or states[-1] != one["type"]:
            states.append(one["type"])
        if mode == "interrupt" and one["type"] == "progress":
            await (await session.post(f"{url}/interrupt", json={})).release()
        if one["type"] in {"execution_error", "execution_interrupted"}:
            break
        if one["type"] == "executing" and one["data"]["node"] is None:
            break
    return {"echoed": echoed == prompt_id, "states": states, "images": images}


def checkpoints(nodes: dict[str, Any]) -> list[str]:
    combo = nodes["CheckpointLoaderSimple"]["input"]["required"]["ckpt_name"]
    return list(combo[0] if isinstance(combo[0], list) else combo[1]["options"])


with open(graph_file, encoding="utf-8") as file:
    print(json.dumps(asyncio.run(main(json.load(file)))))
