"""comfy-api-simplified as its users call it: the key is the password, the name before it is anything."""

import asyncio
import json
import sys
import threading
import time
from pathlib import Path
from typing import Any

from comfy_api_simplified import (  # type: ignore[import-not-found]  # it lives in an environment of its own
    ComfyApiWrapper,
    ComfyWorkflowWrapper,
)

url, key, given_file, folder = sys.argv[1:]
given = json.loads(Path(given_file).read_text(encoding="utf-8"))
api = ComfyApiWrapper(url, "somebody", key)


def titled(graph: dict[str, Any], title: str, node: str) -> Any:
    for name, one in graph.items():
        one["_meta"] = {"title": title if name == node else f"node {name}"}
    return ComfyWorkflowWrapper(graph)


def run() -> dict[str, Any]:
    found = api.queue_and_wait_images(titled(given["quick"], "Save Image", "2"), "Save Image")
    return {"names": list(found), "png": [one[:4].hex() for one in found.values()]}


def upload() -> dict[str, Any]:
    picture = Path(folder) / "simplified.png"
    picture.write_bytes(bytes.fromhex(given["png"]))
    kept = api.upload_image(str(picture))
    workflow = titled(given["inverted"], "Save Image", "3")
    workflow.set_node_param("node 1", "image", f"{kept['subfolder']}/{kept['name']}")
    found = api.queue_and_wait_images(workflow, "Save Image")
    return {"kept": kept, "inverted": [one.hex() for one in found.values()]}


def refused(graph: str) -> str:
    try:
        asyncio.run(api.queue_prompt_and_wait(given[graph]))
    except Exception as error:  # noqa: BLE001 - whatever its users would see is looked at
        return f"{type(error).__name__}: {error}"
    return "it ran"


def interrupted() -> dict[str, Any]:
    seen: dict[str, Any] = {}

    def wait() -> None:
        seen["prompt_id"], _ = asyncio.run(api.queue_prompt_and_wait(given["endless"]))

    waiting = threading.Thread(target=wait)
    waiting.start()
    while not (running := api.get_queue()["queue_running"]):
        time.sleep(0.05)
    seen["before"] = api.get_queue_size_before(running[0][1])
    api.interrupt()
    waiting.join(30)
    entry = api.get_history(seen["prompt_id"])[seen["prompt_id"]]
    return {"before": seen["before"], "status": entry["status"]["messages"][-1][0]}


def reads() -> dict[str, Any]:
    return {
        "node": list(api.get_object_info("SaveImage")),
        "devices": len(api.get_system_stats()["devices"]),
        "embeddings": api.get_embeddings(),
    }


seen = {
    "run": run(),
    "upload": upload(),
    "failed": refused("failing"),
    "refused": refused("wrong"),
    "interrupted": interrupted(),
    "reads": reads(),
}
sys.stdout.write(json.dumps(seen))
