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


def run() -> dict[str, Any]:
    with runtime.Workflow(wait=True):
        image = nodes.EmptyImage(48, 32, 1, 0x3366CC)
        kept = nodes.SaveImage(image, "script")
    found = kept.wait()
    return {"size": found[0].size, "pixel": found[0].convert("RGB").getpixel((5, 5))}


def sampled(seed: int, count: int) -> tuple[Any, Any]:
    model, clip, vae = nodes.CheckpointLoaderSimple("simulated_xl.safetensors")
    positive = nodes.CLIPTextEncode("a lighthouse", clip)
    negative = nodes.CLIPTextEncode("blurry", clip)
    latent = nodes.EmptyLatentImage(64, 64, 1)
    latent = nodes.KSampler(model, seed, count, 7.0, "euler", "normal", positive, negative, latent, 1.0)
    return latent, nodes.SaveImage(nodes.VAEDecode(latent, vae), "script")


def progress() -> dict[str, Any]:
    with runtime.Workflow(wait=True):
        _, kept = sampled(7, int(steps))
    return {"format": kept.wait()[0].format}


def failed() -> Any:
    with runtime.Workflow(wait=True):
        image = nodes.EmptyImage(48, 32, 1, 5)
        kept = nodes.SaveImage(nodes.TestSyncError(image), "script")
    return kept.wait()


def interrupted() -> Any:
    with runtime.Workflow(wait=False):
        _, kept = sampled(8, 10_000)
    while runtime.queue.queue_remaining == 0:
        time.sleep(0.05)
    time.sleep(0.5)
    runtime.queue.cancel_current()
    return kept.wait()


seen = {"run": run(), "progress": progress(), "failed": failed(), "interrupted": interrupted()}
said.write(json.dumps(seen))
said.flush()
