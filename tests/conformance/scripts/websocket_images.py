"""Pictures that never touch a disk: they come as frames while the node that sends them is executing."""

import json
import sys
import urllib.request
import uuid

import websocket

server_address, graph_file = sys.argv[1:]
client_id = str(uuid.uuid4())

with open(graph_file, encoding="utf-8") as file:
    prompt = json.load(file)
senders = {node for node, one in prompt.items() if one["class_type"] == "SaveImageWebsocket"}

ws = websocket.create_connection(f"ws://{server_address}/ws?clientId={client_id}")
data = json.dumps({"prompt": prompt, "client_id": client_id}).encode()
with urllib.request.urlopen(f"http://{server_address}/prompt", data) as answer:
    prompt_id = json.loads(answer.read())["prompt_id"]

images: dict[str, list[bytes]] = {}
current_node = ""
while True:
    out = ws.recv()
    if isinstance(out, str):
        message = json.loads(out)
        if message["type"] == "executing" and message["data"]["prompt_id"] == prompt_id:
            if message["data"]["node"] is None:
                break
            current_node = message["data"]["node"]
    elif current_node in senders:
        images.setdefault(current_node, []).append(out[8:])
ws.close()

print(json.dumps({node: [image[:4].hex() for image in found] for node, found in images.items()}))
