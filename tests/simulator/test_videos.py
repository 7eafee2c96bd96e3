"""Videos are real files: they play, and say how they were made."""

import io
import json
from typing import Any

import aiohttp
import av
import pytest
from PIL import Image

from support.asking import Asker


def node(class_type: str, **inputs: Any) -> dict[str, Any]:
    return {"class_type": class_type, "inputs": inputs}


def filmed(length: int = 13, **canvas: Any) -> dict[str, Any]:
    """Frames of 130 x 98, of which latents cut a few pixels, at node 6."""
    sampler = {"seed": 1, "steps": 1, "cfg": 5, "sampler_name": "uni_pc", "scheduler": "simple", "denoise": 1}
    return {
        "1": node("UNETLoader", unet_name="wan2.2_ti2v_5B_fp16.safetensors", weight_dtype="default"),
        "2": node("CLIPLoader", clip_name="umt5_xxl_fp8_e4m3fn_scaled.safetensors", type="wan"),
        "3": node("VAELoader", vae_name="wan2.2_vae.safetensors"),
        "4": node("CLIPTextEncode", text="a wave", clip=["2", 0]),
        "5": node(
            "Wan22ImageToVideoLatent", vae=["3", 0], width=128, height=96, length=length, batch_size=1, **canvas
        ),
        "7": node(
            "KSampler", model=["1", 0], positive=["4", 0], negative=["4", 0], latent_image=["5", 0], **sampler
        ),
        "6": node("VAEDecode", samples=["7", 0], vae=["3", 0]),
    }


def in_mp4(fps: float = 12) -> dict[str, Any]:
    return {
        "8": node("CreateVideo", images=["6", 0], fps=fps),
        "9": node("SaveVideo", video=["8", 0], filename_prefix="film", format="auto", codec="auto"),
    }


def combined(images: list[Any], kind: str = "video/h264-mp4", **more: Any) -> dict[str, Any]:
    settings = {"frame_rate": 10, "loop_count": 0, "filename_prefix": "film", "format": kind}
    return node("VHS_VideoCombine", images=images, **{**settings, "pingpong": False, "save_output": True, **more})


async def body_of(asker: Asker, file: dict[str, Any]) -> bytes:
    named = {part: file[part] for part in ("filename", "subfolder", "type")}
    async with asker.session.get(f"{asker.base}/view", params=named) as response:
        assert response.status == 200
        return await response.read()


def frames_of(body: bytes) -> list[Image.Image]:
    with av.open(io.BytesIO(body), "r") as film:
        untyped: list[Any] = list(film.decode(video=0))
        return [frame.to_image() for frame in untyped]


async def test_text_becomes_an_mp4_of_that_length_and_rate_that_bears_its_graph(asker: Asker) -> None:
    entry = await asker.run(filmed() | in_mp4())

    [file] = entry["outputs"]["9"]["images"]
    body = await body_of(asker, file)
    with av.open(io.BytesIO(body), "r") as film:
        stream = film.streams.video[0]
        told: tuple[Any, ...] = (
            stream.codec_context.name,
            stream.width,
            stream.height,
            stream.frames,
            stream.average_rate,
        )
        graph = json.loads(film.metadata["prompt"])
    assert file["filename"] == "film_00001_.mp4"
    assert entry["outputs"]["9"]["animated"] == [True]
    assert told == ("h264", 128, 96, 13, 12)
    assert graph["4"]["inputs"]["text"] == "a wave"


async def test_a_film_moves_and_begins_as_its_start_image_looks(asker: Asker) -> None:
    name = await asker.upload("start.png", Image.new("RGB", (128, 96), (250, 20, 20)))
    start = {"20": node("LoadImage", image=name)}

    plain = await asker.run(filmed() | in_mp4())
    begun = await asker.run(filmed(start_image=["20", 0]) | start | in_mp4())

    frames = frames_of(await body_of(asker, plain["outputs"]["9"]["images"][0]))
    others = frames_of(await body_of(asker, begun["outputs"]["9"]["images"][0]))
    assert frames[0].tobytes() != frames[6].tobytes()
    assert redness(others[0]) > redness(frames[0])


@pytest.mark.parametrize(
    ("kind", "ending"),
    [("video/h264-mp4", "mp4"), ("video/webm", "webm"), ("image/gif", "gif"), ("image/webp", "webp")],
)
async def test_frames_are_combined_into_every_kind_that_is_offered(asker: Asker, kind: str, ending: str) -> None:
    entry = await asker.run(filmed(9) | {"8": combined(["6", 0], kind)})

    [file] = entry["outputs"]["8"]["gifs"]
    body = await body_of(asker, file)
    assert (file["filename"], file["format"], file["frame_rate"]) == (f"film_00001.{ending}", kind, 10)
    assert file["workflow"] == "film_00001.png"
    if kind.startswith("video/"):
        assert len(frames_of(body)) == 9
    else:
        with Image.open(io.BytesIO(body)) as film:
            assert getattr(film, "n_frames", 1) == 9


async def test_a_pingpong_goes_back_and_names_are_counted(asker: Asker) -> None:
    await asker.run(filmed(5) | {"8": combined(["6", 0])})

    entry = await asker.run(filmed(5) | {"8": combined(["6", 0], pingpong=True)})

    [file] = entry["outputs"]["8"]["gifs"]
    assert file["filename"] == "film_00002.mp4"
    assert len(frames_of(await body_of(asker, file))) == 8


async def test_a_video_that_was_uploaded_is_loaded_at_another_rate_and_no_longer_than_asked(asker: Asker) -> None:
    made = await asker.run(filmed(25) | in_mp4(25))
    body = await body_of(asker, made["outputs"]["9"]["images"][0])
    name = await uploaded(asker, "clip.mp4", body)
    frames = {"force_rate": 10, "custom_width": 0, "custom_height": 0, "frame_load_cap": 4}
    graph = {
        "1": node("VHS_LoadVideo", video=name, **frames, skip_first_frames=0, select_every_nth=1),
        "2": combined(["1", 0]),
        "3": node("PreviewAny", source=["1", 1]),
        "4": node("VHS_VideoInfo", video_info=["1", 3]),
        "5": node("PreviewAny", source=["4", 1]),
    }

    entry = await asker.run(graph)

    assert (
        name in (await asker.get("/object_info/VHS_LoadVideo"))["VHS_LoadVideo"]["input"]["required"]["video"][0]
    )
    assert entry["outputs"]["3"]["text"] == ["4"]
    assert entry["outputs"]["5"]["text"] == ["25"]
    assert len(frames_of(await body_of(asker, entry["outputs"]["2"]["gifs"][0]))) == 4


async def test_what_is_no_video_fails_its_node(asker: Asker) -> None:
    name = await uploaded(asker, "broken.mp4", b"no film")
    graph = {"1": node("LoadVideo", file=name), "2": node("GetVideoComponents", video=["1", 0])}
    graph["3"] = node("SaveImage", images=["2", 0], filename_prefix="x")

    entry = await asker.run(graph)

    assert entry["status"]["status_str"] == "error"
    assert entry["status"]["messages"][-1][1]["node_type"] == "LoadVideo"


async def test_a_video_that_nobody_has_is_refused_before_it_runs(asker: Asker) -> None:
    frames = {"force_rate": 0, "custom_width": 0, "custom_height": 0, "frame_load_cap": 4}
    load = node("VHS_LoadVideo", video="nobody.mp4", **frames, skip_first_frames=0, select_every_nth=1)

    status, answer = await asker.post("/prompt", {"prompt": {"1": load, "2": combined(["1", 0])}})

    assert status == 400
    assert answer["node_errors"]["1"]["errors"][0]["type"] == "value_not_in_list"


async def test_a_photo_moves_with_every_frame_that_drives_it_and_its_corners_rest(asker: Asker) -> None:
    name = await asker.upload("photo.png", Image.effect_mandelbrot((256, 256), (-2, -1.5, 1, 1.5), 40))

    entry = await asker.run(portrait(name, frames=30))

    frames = frames_of(await body_of(asker, entry["outputs"]["8"]["gifs"][0]))
    corners = [frame.crop((0, 200, 40, 256)) for frame in frames]
    assert len(frames) == 30
    assert frames[0].crop((80, 20, 180, 120)).tobytes() != frames[8].crop((80, 20, 180, 120)).tobytes()
    assert max(abs(redness(corner) - redness(corners[0])) for corner in corners) < 3


def portrait(name: str, frames: int) -> dict[str, Any]:
    driving = {"force_rate": 25, "custom_width": 0, "custom_height": 0, "frame_load_cap": frames}
    process: dict[str, Any] = {
        "lip_zero": False,
        "lip_zero_threshold": 0.03,
        "stitching": True,
        "delta_multiplier": 1.0,
    }
    process |= {"mismatch_method": "constant", "relative_motion_mode": "relative"}
    face = {"dsize": 512, "scale": 2.3, "vx_ratio": 0, "vy_ratio": 0, "face_index": 0, "rotate": True}
    return {
        "1": node("LoadImage", image=name),
        "2": node("VHS_LoadVideo", video="driving.mp4", **driving, skip_first_frames=0, select_every_nth=1),
        "3": node("DownloadAndLoadLivePortraitModels"),
        "4": node("LivePortraitLoadCropper", onnx_device="CPU", keep_model_loaded=True),
        "5": node(
            "LivePortraitCropper",
            pipeline=["3", 0],
            cropper=["4", 0],
            source_image=["1", 0],
            face_index_order="large-small",
            **face,
        ),
        "6": node(
            "LivePortraitProcess",
            pipeline=["3", 0],
            crop_info=["5", 1],
            source_image=["1", 0],
            driving_images=["2", 0],
            driving_smooth_observation_variance=3e-6,
            **process,
        ),
        "7": node(
            "LivePortraitComposite", source_image=["1", 0], cropped_image=["6", 0], liveportrait_out=["6", 1]
        ),
        "8": combined(["7", 0]),
    }


def redness(image: Image.Image) -> float:
    """The mean of the red channel."""
    red = image.convert("RGB").getchannel("R").tobytes()
    return sum(red) / len(red)


async def uploaded(asker: Asker, name: str, body: bytes) -> str:
    form = aiohttp.FormData()
    form.add_field("image", body, filename=name, content_type="video/mp4")
    async with asker.session.post(f"{asker.base}/upload/image", data=form) as response:
        return str((await response.json())["name"])
