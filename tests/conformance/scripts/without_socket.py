"""No socket at all: queue a prompt and ask for its history until it is there."""

import json
import sys
import time
import urllib.parse
import urllib.request

server_address, graph_file = sys.argv[1:]

with open(graph_file, encoding="utf-8") as file:
    prompt = json.load(file)

request = urllib.request.Request(f"http://{server_address}/prompt", data=json.dumps({"prompt": prompt}).encode())
with urllib.request.urlopen(request) as answer:
    prompt_id = json.loads(answer.read())["prompt_id"]

while True:
    with urllib.request.urlopen(f"http://{server_address}/history/{prompt_id}") as answer:
        history = json.loads(answer.read())
    if prompt_id in history:
        break
    time.sleep(0.1)

pictures = []
for output in history[prompt_id]["outputs"].values():
    for image in output.get("images", []):
        with urllib.request.urlopen(f"http://{server_address}/view?{urllib.parse.urlencode(image)}") as answer:
            pictures.append(answer.read())
print(
    json.dumps({"status": history[prompt_id]["status"]["status_str"], "png": [one[:4].hex() for one in pictures]})
)
