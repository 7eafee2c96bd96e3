"""Everything is queued at once, nobody listens; the queue is asked until it is empty, then the history is read."""

import json
import sys
import time
import urllib.request
from typing import Any

server_address, key, graph_file = sys.argv[1:]
COUNT = 5


def ask(path: str, body: object = None) -> Any:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(f"http://{server_address}{path}", data, {"Authorization": f"Bearer {key}"})
    with urllib.request.urlopen(request) as answer:
        said = answer.read()
    return json.loads(said) if said else None


with open(graph_file, encoding="utf-8") as file:
    prompt = json.load(file)

numbers = []
for color in range(COUNT):
    prompt["1"]["inputs"]["color"] += 1
    prompt["2"]["inputs"]["filename_prefix"] = f"batch{color}"
    numbers.append(ask("/prompt", {"prompt": prompt})["number"])

while True:
    queue = ask("/queue")
    if not queue["queue_running"] and not queue["queue_pending"]:
        break
    time.sleep(0.1)

names = [
    image["filename"]
    for entry in ask(f"/history?max_items={COUNT}").values()
    for output in entry["outputs"].values()
    for image in output["images"]
]
print(json.dumps({"numbers": numbers, "names": names}))
