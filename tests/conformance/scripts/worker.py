"""A serverless worker: waits for the server, uploads what came, runs, reads, gives pictures as base64."""

import base64
import json
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
import uuid
from typing import Any

import websocket

comfy_host, job_file = sys.argv[1:]
client_id = str(uuid.uuid4())


def check_server() -> None:
    for _ in range(100):
        try:
            with urllib.request.urlopen(f"http://{comfy_host}/", timeout=5) as answer:
                if answer.status == 200:
                    return
        except OSError:
            time.sleep(0.05)
    sys.exit("the server did not answer 200 at /")


def upload(name: str, content: bytes) -> None:
    boundary = uuid.uuid4().hex
    head = f'--{boundary}\r\nContent-Disposition: form-data; name="image"; filename="{name}"\r\n'
    parts = (
        (head + "Content-Type: image/png\r\n\r\n").encode() + content + b"\r\n",
        f'--{boundary}\r\nContent-Disposition: form-data; name="overwrite"\r\n\r\ntrue\r\n'.encode(),
        f"--{boundary}--\r\n".encode(),
    )
    headers = {"Content-Type": f"multipart/form-data; boundary={boundary}"}
    request = urllib.request.Request(f"http://{comfy_host}/upload/image", b"".join(parts), headers)
    urllib.request.urlopen(request).close()


def queue(workflow: dict[str, Any]) -> str:
    data = json.dumps({"prompt": workflow, "client_id": client_id}).encode()
    request = urllib.request.Request(
        f"http://{comfy_host}/prompt", data, headers={"Content-Type": "application/json"}
    )
    try:
        with urllib.request.urlopen(request) as answer:
            return str(json.loads(answer.read())["prompt_id"])
    except urllib.error.HTTPError as error:
        said = json.loads(error.read())
        print(json.dumps({"error": said["error"]["type"], "nodes": said["node_errors"]}))
        sys.exit(0)


def get(path: str) -> bytes:
    with urllib.request.urlopen(f"http://{comfy_host}{path}") as answer:
        return bytes(answer.read())


with open(job_file, encoding="utf-8") as file:
    job = json.load(file)

check_server()
for image in job.get("images", []):
    upload(image["name"], base64.b64decode(image["image"]))

ws = websocket.create_connection(f"ws://{comfy_host}/ws?clientId={client_id}", timeout=10)
prompt_id = queue(job["workflow"])
errors = []
while True:
    out = ws.recv()
    if not isinstance(out, str):
        continue
    message = json.loads(out)
    if message["type"] == "executing":
        data = message["data"]
        if data.get("node") is None and data.get("prompt_id") == prompt_id:
            break
    elif message["type"] == "execution_error" and message["data"].get("prompt_id") == prompt_id:
        errors.append(message["data"]["exception_message"])
        break
ws.close()

outputs = json.loads(get(f"/history/{prompt_id}"))[prompt_id]["outputs"]
images = [
    base64.b64encode(get(f"/view?{urllib.parse.urlencode(image)}")).decode()
    for output in outputs.values()
    for image in output.get("images", [])
    if image["type"] != "temp"
]
print(json.dumps({"images": images, "errors": errors}))
