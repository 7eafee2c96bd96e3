"""ComfyScript as its users write it: nodes are functions, made of /object_info; the key is in the address."""

import json
import sys
import time
from typing import Any

from comfy_script import runtime  # type: ignore[import-not-found]  # it lives in an environment of its own

address, steps = sys.argv[1:]
said = sys.stdout
sys.stdout = sys.stderr  # it talks a lot

runtime.load(address)

from comfy_script.runtime import nodes  # type: ignore[import-not-found]  # noqa: E402 - made by load, as users do it


def sampled(seed: int, count: int) -> Any:
    """Takes a moment: what ends before the answer to its POST has arrived is never found by this client."""
    model, clip, vae = nodes.CheckpointLoaderSimple("simulated_xl.safetensors")
    positive = nodes.CLIPTextEncode("a lighthouse", clip)
    negative = nodes.CLIPTextEncode("blurry", clip)
    latent = nodes.EmptyLatentImage(64, 64, 1)
    latent = nodes.KSampler(model, seed, count, 7.0, "euler", "normal", positive, negative, latent, 1.0)
    return nodes.VAEDecode(latent, vae)


def run() -> dict[str, Any]:
    with runtime.Workflow(wait=True):
        kept = nodes.SaveImage(sampled(7, int(steps)), "script")
    found = kept.wait()
    return {"size": found[0].size, "format": found[0].format}


def failed() -> Any:
    with runtime.Workflow(wait=True):
        kept = nodes.SaveImage(nodes.TestSyncError(sampled(8, int(steps))), "script")
    return kept.wait()


def interrupted() -> Any:
    with runtime.Workflow(wait=False):
        kept = nodes.SaveImage(sampled(9, 10_000), "script")
    while runtime.queue.queue_remaining == 0:
        time.sleep(0.05)
    time.sleep(0.5)
    runtime.queue.cancel_current()
    return kept.wait()


seen = {"run": run(), "failed": failed(), "interrupted": interrupted()}
said.write(json.dumps(seen))
said.flush()
