"""Model nodes take the time that was set, fill the memory that was set, and draw instead of thinking."""

from collections.abc import Mapping
from dataclasses import replace

from PIL import Image

from atelier.simulator.drawing import Recipe, preview
from atelier.simulator.nodes.call import Call, Made, Node, Pictures
from atelier.simulator.nodes.rendering import rendered, whole_cells
from atelier.simulator.nodes.values import PIXELS, Conditioning, Latent, Model
from atelier.simulator.pictures import Picture, resized


def load_checkpoint(call: Call) -> Made:
    model = loaded(call, "checkpoints", call.text("ckpt_name"))
    return Made((model, model, model))


def load_diffusion_model(call: Call) -> Made:
    return Made((loaded(call, "diffusion_models", call.text("unet_name")),))


def load_clip(call: Call) -> Made:
    return Made((loaded(call, "text_encoders", call.text("clip_name")),))


def load_two_clips(call: Call) -> Made:
    loaded(call, "text_encoders", call.text("clip_name1"))
    return Made((loaded(call, "text_encoders", call.text("clip_name2")),))


def load_vae(call: Call) -> Made:
    return Made((loaded(call, "vae", call.text("vae_name")),))


def load_upscaler(call: Call) -> Made:
    return Made((loaded(call, "upscale_models", call.text("model_name")),))


def load_lora(call: Call) -> Made:
    return Made((_with_lora(call), call.get("clip", Model)))


def load_lora_for_model(call: Call) -> Made:
    return Made((_with_lora(call),))


def encode_text(call: Call) -> Made:
    resident(call, call.get("clip", Model))
    return Made((Conditioning(call.text("text")),))


def same_model(call: Call) -> Made:
    return Made((call.get("model", Model),))


def same_clip(call: Call) -> Made:
    return Made((call.get("clip", Model),))


def same_conditioning(call: Call) -> Made:
    return Made((call.get("conditioning", Conditioning),))


def empty_conditioning(call: Call) -> Made:
    call.get("conditioning", Conditioning)
    return Made((Conditioning(""),))


def combine_conditioning(call: Call) -> Made:
    first, second = call.get("conditioning_1", Conditioning), call.get("conditioning_2", Conditioning)
    return Made((Conditioning(f"{first.text} {second.text}".strip()),))


def empty_latent(call: Call) -> Made:
    size = (call.int("width") // PIXELS * PIXELS, call.int("height") // PIXELS * PIXELS)
    return Made((Latent(size, call.int("batch_size")),))


def encode_pictures(call: Call) -> Made:
    """Sides are cut to whole latent cells, as the real encoder does."""
    resident(call, call.get("vae", Model))
    pictures = tuple(whole_cells(picture) for picture in call.pictures("pixels"))
    return Made((Latent(pictures[0].size, len(pictures), base=pictures),))


def encode_for_inpaint(call: Call) -> Made:
    encoded = encode_pictures(call)
    return Made((_masked(encoded.outputs[0], call.pictures("mask")),))


def set_noise_mask(call: Call) -> Made:
    return Made((_masked(call.get("samples", Latent), call.pictures("mask")),))


def upscale_latent(call: Call) -> Made:
    latent = call.get("samples", Latent)
    width, height = call.int("width"), call.int("height")
    size = (width or latent.size[0], height or latent.size[1])
    return Made((_resized(latent, size),))


def upscale_latent_by(call: Call) -> Made:
    latent = call.get("samples", Latent)
    factor = call.float("scale_by")
    return Made((_resized(latent, (round(latent.size[0] * factor), round(latent.size[1] * factor))),))


def sample(call: Call) -> Made:
    steps, share = call.int("steps"), call.float("denoise")
    return _sampled(call, call.int("seed"), range(1, steps + 1), share)


def sample_advanced(call: Call) -> Made:
    steps = call.int("steps")
    first, last = min(call.int("start_at_step"), steps), min(call.int("end_at_step"), steps)
    share = (last - first) / steps if call.text("add_noise") == "enable" else 1.0
    return _sampled(call, call.int("noise_seed"), range(first + 1, last + 1), share)


def decode_latent(call: Call) -> Made:
    resident(call, call.get("vae", Model))
    latent = call.get("samples", Latent)
    pictures = rendered(latent)
    if latent.recipe is not None:
        call.shop.drawn(call.prompt_id, latent.recipe.digest(0).hex())
    return Made((pictures,))


def repeat_latent(call: Call) -> Made:
    latent, amount = call.get("samples", Latent), call.int("amount")
    base = latent.base * amount if latent.base else ()
    return Made((replace(latent, batch=latent.batch * amount, base=base),))


def upscale_with_model(call: Call) -> Made:
    """Four times as wide and high, as most such models."""
    resident(call, call.get("upscale_model", Model))
    pictures: Pictures = call.pictures("image")
    made = tuple(_enlarged(picture) for picture in pictures)
    return Made((made,))


def loaded(call: Call, folder: str, name: str) -> Model:
    model = Model(folder, name)
    resident(call, model)
    return model


def resident(call: Call, model: Model) -> None:
    call.shop.sleep(call.shop.memory.need(model.folder, model.name))
    for lora in model.loras:
        call.shop.sleep(call.shop.memory.need("loras", lora))


def _with_lora(call: Call) -> Model:
    model = call.get("model", Model)
    return replace(model, loras=(*model.loras, call.text("lora_name")))


def _masked(latent: Latent, masks: Pictures) -> Latent:
    return replace(latent, mask=masks[0])


def _resized(latent: Latent, size: tuple[int, int]) -> Latent:
    whole = (max(PIXELS, size[0] // PIXELS * PIXELS), max(PIXELS, size[1] // PIXELS * PIXELS))
    return replace(latent, size=whole)


def _sampled(call: Call, seed: int, steps: range, share: float) -> Made:
    model, latent = call.get("model", Model), call.get("latent_image", Latent)
    resident(call, model)
    recipe = Recipe(
        prompt=call.get("positive", Conditioning).text,
        negative=call.get("negative", Conditioning).text,
        model=model.title(),
        seed=seed,
        steps=len(steps),
        cfg=call.float("cfg"),
        server_seed=call.shop.config.seed,
    )
    for number, _ in enumerate(steps, start=1):
        call.shop.sleep(call.shop.config.step_seconds)
        shown = preview(recipe, latent.size, number / len(steps)) if call.shop.config.previews else None
        call.watch(number, len(steps), shown)
    return Made((replace(latent, recipe=recipe, share=share),))


def _enlarged(picture: Picture) -> Picture:
    size = (picture.size[0] * 4, picture.size[1] * 4)
    return Picture(resized(picture.saved(), size, Image.Resampling.LANCZOS))


MODEL_NODES: Mapping[str, Node] = {
    "CheckpointLoaderSimple": load_checkpoint,
    "UNETLoader": load_diffusion_model,
    "CLIPLoader": load_clip,
    "DualCLIPLoader": load_two_clips,
    "VAELoader": load_vae,
    "UpscaleModelLoader": load_upscaler,
    "LoraLoader": load_lora,
    "LoraLoaderModelOnly": load_lora_for_model,
    "CLIPTextEncode": encode_text,
    "CLIPSetLastLayer": same_clip,
    "ModelSamplingAuraFlow": same_model,
    "ModelSamplingSD3": same_model,
    "ModelSamplingFlux": same_model,
    "CFGNorm": same_model,
    "DifferentialDiffusion": same_model,
    "FluxGuidance": same_conditioning,
    "ConditioningZeroOut": empty_conditioning,
    "ConditioningCombine": combine_conditioning,
    "EmptyLatentImage": empty_latent,
    "EmptySD3LatentImage": empty_latent,
    "VAEEncode": encode_pictures,
    "VAEEncodeForInpaint": encode_for_inpaint,
    "SetLatentNoiseMask": set_noise_mask,
    "LatentUpscale": upscale_latent,
    "LatentUpscaleBy": upscale_latent_by,
    "KSampler": sample,
    "KSamplerAdvanced": sample_advanced,
    "VAEDecode": decode_latent,
    "VAEDecodeTiled": decode_latent,
    "RepeatLatentBatch": repeat_latent,
    "ImageUpscaleWithModel": upscale_with_model,
}
