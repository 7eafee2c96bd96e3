"""Queue a prompt, follow the socket until it has ended, read its history at once, fetch its pictures."""

import json
import sys
import urllib.parse
import urllib.request
import uuid
from typing import Any

import websocket

server_address, graph_file = sys.argv[1:]
client_id = str(uuid.uuid4())


def queue_prompt(prompt: dict[str, Any]) -> Any:
    data = json.dumps({"prompt": prompt, "client_id": client_id}).encode()
    with urllib.request.urlopen(urllib.request.Request(f"http://{server_address}/prompt", data=data)) as answer:
        return json.loads(answer.read())


def get_image(filename: str, subfolder: str, folder_type: str) -> bytes:
    query = urllib.parse.urlencode({"filename": filename, "subfolder": subfolder, "type": folder_type})
    with urllib.request.urlopen(f"http://{server_address}/view?{query}") as answer:
        return bytes(answer.read())


def get_history(prompt_id: str) -> Any:
    with urllib.request.urlopen(f"http://{server_address}/history/{prompt_id}") as answer:
        return json.loads(answer.read())


with open(graph_file, encoding="utf-8") as file:
    prompt = json.load(file)

ws = websocket.create_connection(f"ws://{server_address}/ws?clientId={client_id}")
prompt_id = queue_prompt(prompt)["prompt_id"]

seen = []
previews = 0
while True:
    out = ws.recv()
    if not isinstance(out, str):
        previews += 1
        continue
    message = json.loads(out)
    seen.append(message["type"])
    if message["type"] == "executing":
        data = message["data"]
        if data["node"] is None and data["prompt_id"] == prompt_id:
            break
ws.close()

history = get_history(prompt_id)[prompt_id]
images = [
    get_image(image["filename"], image["subfolder"], image["type"])
    for output in history["outputs"].values()
    for image in output.get("images", [])
]
print(
    json.dumps(
        {
            "seen": seen,
            "previews": previews,
            "status": history["status"],
            "names": [one["filename"] for output in history["outputs"].values() for one in output["images"]],
            "png": [image[:4].hex() for image in images],
        }
    )
)
