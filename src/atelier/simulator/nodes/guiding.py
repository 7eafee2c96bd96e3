"""What steers a sampler beside its prompt: masks of what may change, control nets, pictures that are looked at."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from atelier.simulator.nodes.call import Call, Made, Node, Pictures
from atelier.simulator.nodes.models import combine_conditioning, loaded, resident
from atelier.simulator.nodes.rendering import whole_cells
from atelier.simulator.nodes.values import Conditioning, Latent, Model


@dataclass(frozen=True, slots=True)
class Seen:
    """What a vision model made of pictures."""

    pictures: Pictures


def load_control_net(call: Call) -> Made:
    return Made((loaded(call, "controlnet", call.text("control_net_name")),))


def load_vision(call: Call) -> Made:
    return Made((loaded(call, "clip_vision", call.text("clip_name")),))


def see(call: Call) -> Made:
    resident(call, call.get("clip_vision", Model))
    return Made((Seen(call.pictures("image")),))


def condition_for_inpaint(call: Call) -> Made:
    """Both prompts, and the encoded picture of which only what the mask shows may change."""
    resident(call, call.get("vae", Model))
    pictures, masks = tuple(whole_cells(picture) for picture in call.pictures("pixels")), call.pictures("mask")
    latent = Latent(pictures[0].size, len(pictures), base=pictures)
    if call.get("noise_mask", bool):
        latent = replace(latent, mask=masks[0])
    return Made((*_prompts(call), latent))


def apply_control_net(call: Call) -> Made:
    resident(call, call.get("control_net", Model))
    call.pictures("image")
    return Made(_prompts(call))


def join_conditioning(call: Call) -> Made:
    first, second = call.get("conditioning_to", Conditioning), call.get("conditioning_from", Conditioning)
    inputs = {"conditioning_1": first, "conditioning_2": second}
    return combine_conditioning(replace(call, inputs=inputs))


def _prompts(call: Call) -> tuple[Conditioning, Conditioning]:
    return call.get("positive", Conditioning), call.get("negative", Conditioning)


GUIDING_NODES: Mapping[str, Node] = {
    "ControlNetLoader": load_control_net,
    "ControlNetApplyAdvanced": apply_control_net,
    "ControlNetInpaintingAliMamaApply": apply_control_net,
    "CLIPVisionLoader": load_vision,
    "CLIPVisionEncode": see,
    "InpaintModelConditioning": condition_for_inpaint,
    "ConditioningConcat": join_conditioning,
}
