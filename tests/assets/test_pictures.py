"""Pictures in other formats: their pixels, their colours, and what they say of themselves."""

import datetime as dt
import io
import json
import xml.etree.ElementTree as ET
import zlib
from typing import Any

import pytest
from PIL import Image, ImageCms, PngImagePlugin

from atelier.assets.pictures import convert, encoding, exif, marking, words
from atelier.assets.pictures.convert import CannotStrip
from atelier.assets.pictures.model import Delivered, Delivery, Metadata, PictureFormat
from atelier.assets.pictures.reading import NotAPicture, PictureTooLarge
from support.media import SECRET, sound, video
from support.pictures import png, png_bomb, png_chunk

AT = dt.datetime(2026, 1, 2, 3, 4, 5, tzinfo=dt.UTC)
SAID: dict[str, Any] = {
    "workflow": "text-to-image",
    "version": "1.2",
    "params": {
        "prompt": "a cät & a <dog>, old",
        "negative_prompt": "blurry",
        "steps": 20,
        "cfg": 7.5,
        "sampler": "euler",
        "width": 1024,
        "height": 768,
        "model": "xl.safetensors",
    },
    "seed": 42,
}
LINE = (
    "a cät & a <dog>, old\nNegative prompt: blurry\nSteps: 20, CFG scale: 7.5, Sampler: euler,"
    " Model: xl.safetensors, Seed: 42, Size: 1024x768, Workflow: text-to-image, Version: 1.2"
)
GRAPH = json.dumps({"3": {"class_type": "KSampler", "inputs": {"seed": 42}}})
OTHERS = (PictureFormat.WEBP, PictureFormat.JPEG, PictureFormat.AVIF)
FORMATS = (PictureFormat.PNG, *OTHERS)
NAMES = {
    "rdf": "http://www.w3.org/1999/02/22-rdf-syntax-ns#",
    "dc": "http://purl.org/dc/elements/1.1/",
    "xmp": "http://ns.adobe.com/xap/1.0/",
    "atelier": "urn:atelier:picture:1.0#",
}


def delivery(
    form: PictureFormat | str, metadata: Metadata = Metadata.KEEP, quality: int = 80, said: dict[str, Any] = SAID
) -> Delivery:
    return Delivery(PictureFormat(form), quality, metadata, AT, said)


def noise(mode: str = "RGB", size: tuple[int, int] = (48, 32)) -> Image.Image:
    image = Image.effect_noise(size, 90)
    if mode in {"RGBA", "LA"}:
        image = image.convert(mode)
        image.putalpha(90)
        return image
    return image.convert(mode)


def saved(image: Image.Image, form: str = "PNG", **options: Any) -> bytes:
    into = io.BytesIO()
    image.save(into, form, **options)
    return into.getvalue()


def comfyui_png(image: Image.Image | None = None, **more: str) -> bytes:
    """As SaveImage writes it: the graph under `prompt`, the editor's document under `workflow`."""
    info = PngImagePlugin.PngInfo()
    for keyword, text in {"prompt": GRAPH, "workflow": '{"nodes": []}', **more}.items():
        info.add_text(keyword, text)
    return saved(image or noise(), pnginfo=info)


def made(content: bytes, wanted: Delivery) -> Delivered:
    found = convert.picture(content, wanted)
    assert found is not None
    return found


def opened(content: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(content))
    image.load()
    return image


def xmp_of(content: bytes) -> ET.Element:
    packet = marking.found(opened(content)).xmp
    return ET.fromstring(packet.decode())  # noqa: S314 - we wrote it


def told(packet: ET.Element, path: str) -> list[str]:
    return [found.text or "" for found in packet.findall(f".//{path}", NAMES)]


# Formats and pixels ----------------------------------------------------------------------------


@pytest.mark.parametrize("form", OTHERS)
def test_a_picture_becomes_the_format_that_was_asked_for(form: PictureFormat) -> None:
    found = made(comfyui_png(), delivery(form))

    image = opened(found.content)
    assert (image.format, image.size) == (form.upper(), (48, 32))
    assert (found.content_type, found.suffix) == (form.content_type, form.suffix)


@pytest.mark.parametrize("form", OTHERS)
def test_quality_makes_it_larger_or_smaller(form: PictureFormat) -> None:
    content = comfyui_png(noise(size=(256, 256)))

    low, high = (len(made(content, delivery(form, quality=quality)).content) for quality in (20, 95))

    assert low < high


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA"])
def test_every_kind_of_png_can_become_every_format(mode: str, form: PictureFormat) -> None:
    image = noise(mode)

    shown = opened(made(saved(image), delivery(form)).content)

    wanted, found = (one.convert("RGBA").resize((1, 1), Image.Resampling.BOX) for one in (image, shown))
    if form is PictureFormat.JPEG and mode in {"LA", "RGBA"}:
        wanted = Image.alpha_composite(Image.new("RGBA", (1, 1), "white"), wanted)
    pairs = zip(wanted.tobytes(), found.tobytes(), strict=True)
    assert max(abs(left - right) for left, right in pairs) <= 12


def test_transparency_is_white_where_a_format_has_none() -> None:
    clear = Image.new("RGBA", (16, 16), (255, 0, 0, 0))

    shown = opened(made(saved(clear), delivery("jpeg")).content)

    assert shown.getpixel((8, 8)) == (255, 255, 255)


@pytest.mark.parametrize("form", [PictureFormat.WEBP, PictureFormat.AVIF])
def test_transparency_stays_where_a_format_has_it(form: PictureFormat) -> None:
    palette = Image.new("P", (16, 16), 1)
    palette.putpalette([0, 0, 0, 200, 10, 10])

    shown = opened(made(saved(palette, transparency=1), delivery(form)).content)

    assert shown.convert("RGBA").getchannel("A").getextrema() == (0, 0)


@pytest.mark.parametrize("form", OTHERS)
def test_sixteen_bits_become_the_eight_that_matter(form: PictureFormat) -> None:
    shown = opened(made(saved(Image.new("I;16", (16, 16), 40_000)), delivery(form)).content)

    level = shown.convert("L").getpixel((8, 8))
    assert isinstance(level, int)
    assert abs(level - 40_000 // 256) <= 2


def test_a_png_keeps_its_sixteen_bits() -> None:
    shown = opened(made(saved(Image.new("I;16", (4, 4), 40_001)), delivery("png")).content)

    assert (shown.mode, shown.getpixel((0, 0))) == ("I;16", 40_001)


@pytest.mark.parametrize("form", [PictureFormat.PNG, PictureFormat.WEBP, PictureFormat.AVIF])
def test_the_colours_of_print_become_those_of_screens(form: PictureFormat) -> None:
    shown = opened(made(saved(Image.new("CMYK", (16, 16), (0, 255, 255, 0)), "JPEG"), delivery(form)).content)

    red, green, blue = shown.convert("RGB").resize((1, 1)).tobytes()
    assert red > 200
    assert max(green, blue) < 90


def test_a_colour_profile_stays_whatever_is_said() -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()

    for form in (PictureFormat.ORIGINAL, *FORMATS):
        found = made(saved(noise(), icc_profile=profile), delivery(form, Metadata.STRIP))

        assert opened(found.content).info["icc_profile"] == profile, form


def test_a_profile_of_other_colours_does_not() -> None:
    gray = b"\0" * 16 + b"GRAY" + b"\0" * 108

    found = made(saved(noise("L"), icc_profile=gray), delivery("webp"))

    assert not opened(found.content).info.get("icc_profile")


def test_a_picture_that_lay_on_its_side_stands() -> None:
    lying = Image.new("RGB", (32, 16), "red")
    tags = Image.Exif()
    tags[exif.ORIENTATION] = 6

    found = made(saved(lying, "JPEG", exif=tags), delivery("webp"))

    assert opened(found.content).size == (16, 32)
    assert exif.ORIENTATION not in opened(found.content).getexif()


@pytest.mark.parametrize(("form", "wanted"), [("PNG", "png"), ("JPEG", "jpeg"), ("WEBP", "webp")])
@pytest.mark.parametrize("metadata", Metadata)
def test_a_picture_in_its_format_is_never_encoded_again(form: str, wanted: str, metadata: Metadata) -> None:
    content = saved(noise("RGB"), form)

    found = made(content, delivery(wanted, metadata))

    assert opened(found.content).tobytes() == opened(content).tobytes()
    assert (found.content_type, found.suffix) == ("", "")


def test_an_original_that_is_kept_is_not_touched() -> None:
    assert convert.picture(comfyui_png(), delivery("original")) is None


# What moves ------------------------------------------------------------------------------------


def moving(form: str, **options: Any) -> bytes:
    frames = [Image.new("RGB", (16, 16), (shade, 0, 0)) for shade in (10, 120, 250)]
    return saved(frames[0], form, save_all=True, append_images=frames[1:], duration=40, **options)


@pytest.mark.parametrize("form", ["WEBP", "GIF", "PNG", "AVIF"])
@pytest.mark.parametrize("wanted", FORMATS)
def test_what_moves_stays_as_it_is(form: str, wanted: PictureFormat) -> None:
    assert convert.picture(moving(form), delivery(wanted)) is None


@pytest.mark.parametrize(
    ("form", "options"),
    [
        ("WEBP", {"exif": b"MM\0*\0\0\0\x08\0\0" + SECRET.encode()}),
        ("GIF", {"comment": SECRET.encode()}),
        ("PNG", {"pnginfo": "SECRET"}),
    ],
    ids=["webp", "gif", "png"],
)
def test_what_moves_loses_its_words_and_nothing_else(form: str, options: dict[str, Any]) -> None:
    if "pnginfo" in options:
        info = PngImagePlugin.PngInfo()
        info.add_text("prompt", SECRET)
        options = {"pnginfo": info}
    content = moving(form, **options)

    found = made(content, delivery("webp", Metadata.STRIP))

    assert SECRET.encode() in content
    assert SECRET.encode() not in found.content
    frames = [Image.open(io.BytesIO(one)) for one in (content, found.content)]
    assert [getattr(one, "n_frames", 1) for one in frames] == [3, 3]
    for number in range(3):
        for one in frames:
            one.seek(number)
        assert frames[0].convert("RGB").tobytes() == frames[1].convert("RGB").tobytes()


KINDS = [
    ("video/mp4", "mp4", "h264"),
    ("video/quicktime", "mov", "h264"),
    ("video/webm", "webm", "libvpx-vp9"),
    ("video/x-matroska", "matroska", "h264"),
]
SOUNDS = [
    ("audio/flac", "flac", "flac"),
    ("audio/mpeg", "mp3", "libmp3lame"),
    ("audio/ogg", "ogg", "libopus"),
    ("audio/wav", "wav", "pcm_s16le"),
    ("audio/mp4", "mp4", "aac"),
]


@pytest.mark.parametrize(("kind", "container", "codec"), [*KINDS, *SOUNDS])
def test_videos_and_sounds_lose_their_words_packet_by_packet(kind: str, container: str, codec: str) -> None:
    content = video(container, codec) if kind.startswith("video") else sound(container, codec)

    found = convert.medium(content, kind, delivery("webp", Metadata.ANONYMISE))

    assert SECRET.encode() in content
    assert found is not None
    assert SECRET.encode() not in found.content
    assert found.content_type == ""


def test_a_video_that_may_speak_is_not_touched() -> None:
    assert convert.medium(video(), "video/mp4", delivery("webp")) is None


def test_a_damaged_video_is_left_and_it_is_said_why() -> None:
    for content in (b"", video()[:500], b"\0" * 1000):
        with pytest.raises(CannotStrip):
            convert.medium(content, "video/mp4", delivery("webp", Metadata.STRIP))


# What it says ----------------------------------------------------------------------------------


@pytest.mark.parametrize("form", OTHERS)
def test_exif_says_what_readers_of_this_field_look_for(form: PictureFormat) -> None:
    tags = opened(made(comfyui_png(), delivery(form)).content).getexif()

    inner = tags.get_ifd(exif.EXIF_IFD)
    comment = inner[exif.USER_COMMENT]
    assert comment[:8] == b"UNICODE\0"
    assert comment[8:].decode("utf-16-be") == LINE
    assert (tags[exif.SOFTWARE], tags[exif.DATE_TIME]) == ("Atelier", "2026:01:02 03:04:05")
    assert (tags[exif.MODEL], tags[exif.MAKE]) == (f"prompt:{GRAPH}", 'workflow:{"nodes": []}')
    assert tags[exif.DESCRIPTION].encode("latin-1").decode() == "a cät & a <dog>, old"
    assert inner[exif.DATE_TIME_ORIGINAL] == "2026:01:02 03:04:05"


@pytest.mark.parametrize("form", FORMATS)
def test_xmp_says_all_of_it(form: PictureFormat) -> None:
    packet = xmp_of(made(comfyui_png(Author="somebody"), delivery(form)).content)

    assert told(packet, "atelier:Workflow") == ["text-to-image"]
    assert told(packet, "atelier:Seed") == ["42"]
    assert json.loads(told(packet, "atelier:Parameters")[0]) == SAID["params"]
    assert told(packet, "dc:description/rdf:Alt/rdf:li") == ["a cät & a <dog>, old"]
    assert told(packet, "xmp:CreatorTool") == ["Atelier"]
    assert told(packet, "xmp:CreateDate") == ["2026-01-02T03:04:05Z"]
    if form is not PictureFormat.PNG:
        assert told(packet, "atelier:Texts/rdf:Bag/rdf:li") == ["Author:somebody"]


def test_a_png_has_its_own_words_and_ours() -> None:
    image = opened(made(comfyui_png(Author="somebody"), delivery("png")).content)

    assert isinstance(image, PngImagePlugin.PngImageFile)
    texts = {keyword: str(text) for keyword, text in image.text.items() if not keyword.startswith("XML:")}
    assert texts == {
        "parameters": LINE,
        "Software": "Atelier",
        "prompt": GRAPH,
        "workflow": '{"nodes": []}',
        "Author": "somebody",
    }


@pytest.mark.parametrize("form", FORMATS)
def test_what_a_node_said_wins_over_what_we_say(form: PictureFormat) -> None:
    content = comfyui_png(parameters="said by a node\nSteps: 3")

    image = opened(made(content, delivery(form)).content)

    assert exif.comment_in(marking.found(image).exif) == "said by a node\nSteps: 3"


def test_a_packet_of_a_node_is_kept_beside_ours() -> None:
    theirs = (
        b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        b'<rdf:Description rdf:about="" xmlns:dc="http://purl.org/dc/elements/1.1/"><dc:creator>me</dc:creator>'
        b"</rdf:Description></rdf:RDF></x:xmpmeta>"
    )
    content = saved(noise(), "WEBP", xmp=theirs)

    for form in (PictureFormat.JPEG, PictureFormat.WEBP, PictureFormat.PNG):
        packet = xmp_of(made(content, delivery(form)).content)

        assert told(packet, "dc:creator") == ["me"]
        assert told(packet, "atelier:Seed") == ["42"]


def test_words_in_exif_become_text_chunks_of_a_png() -> None:
    content = made(comfyui_png(), delivery("webp")).content

    image = opened(made(content, delivery("png")).content)

    assert isinstance(image, PngImagePlugin.PngImageFile)
    assert (image.text["prompt"], image.text["workflow"]) == (GRAPH, '{"nodes": []}')
    assert image.text["parameters"] == LINE


@pytest.mark.parametrize("form", [PictureFormat.ORIGINAL, *FORMATS])
@pytest.mark.parametrize("source", ["PNG", "JPEG", "WEBP", "AVIF"])
def test_anonymous_pictures_say_workflow_and_seed_alone(source: str, form: PictureFormat) -> None:
    content = _talkative(source)

    found = made(content, delivery(form, Metadata.ANONYMISE)).content

    assert _words_in(content)
    assert not _words_in(found)
    comment = exif.comment_in(marking.found(opened(found)).exif)
    assert comment == "Seed: 42, Workflow: text-to-image"
    packet = xmp_of(found)
    assert (told(packet, "atelier:Seed"), told(packet, "atelier:Workflow")) == (["42"], ["text-to-image"])
    assert told(packet, "xmp:CreateDate") == told(packet, "atelier:Version") == []


@pytest.mark.parametrize("form", [PictureFormat.ORIGINAL, *FORMATS])
@pytest.mark.parametrize("source", ["PNG", "JPEG", "WEBP", "AVIF"])
def test_stripped_pictures_say_nothing(source: str, form: PictureFormat) -> None:
    found = made(_talkative(source), delivery(form, Metadata.STRIP)).content

    said = marking.found(opened(found))
    assert (said.exif, said.xmp, dict(said.texts)) == (b"", b"", {})
    assert not _words_in(found)
    assert b"Atelier" not in found


def _talkative(form: str) -> bytes:
    """SECRET wherever such a file can have it."""
    if form == "PNG":
        return comfyui_png(Note=SECRET, Sécret=SECRET) + SECRET.encode()
    tags = Image.Exif()
    tags[exif.DESCRIPTION] = SECRET
    tags[exif.MAKE] = f"workflow:{SECRET}"
    options: dict[str, Any] = {"exif": tags, "xmp": f"<x>{SECRET}</x>".encode()}
    if form == "JPEG":
        options["comment"] = SECRET.encode()
    behind = SECRET.encode() if form != "AVIF" else b""
    return saved(noise(), form, **options) + behind


def _words_in(content: bytes) -> bool:
    return any(word in content for word in (SECRET.encode(), b"class_type", b"c\xc3\xa4t", b"blurry"))


def test_stripping_leaves_which_way_is_up() -> None:
    tags = Image.Exif()
    tags[exif.ORIENTATION], tags[exif.DESCRIPTION] = 8, SECRET

    found = opened(made(saved(noise(), "JPEG", exif=tags), delivery("original", Metadata.STRIP)).content)

    assert dict(found.getexif()) == {exif.ORIENTATION: 8}


def test_a_graph_too_long_for_a_jpeg_is_left_out_and_the_rest_is_said() -> None:
    found = made(comfyui_png(prompt="x" * 70_000), delivery("jpeg")).content

    tags = opened(found).getexif()
    assert exif.MODEL not in tags
    assert tags.get_ifd(exif.EXIF_IFD)[exif.USER_COMMENT][8:].decode("utf-16-be") == LINE
    assert told(xmp_of(found), "atelier:Seed") == ["42"]


def test_parameters_too_long_for_a_jpeg_leave_workflow_and_seed() -> None:
    long = {**SAID, "params": {"prompt": "word " * 40_000}}

    found = made(comfyui_png(), delivery("jpeg", said=long)).content

    assert "Seed: 42" in exif.comment_in(marking.found(opened(found)).exif)
    assert told(xmp_of(found), "atelier:Workflow") == ["text-to-image"]


def test_odd_words_neither_break_a_file_nor_its_readers() -> None:
    odd = {
        **SAID,
        "params": {"prompt": "nul \0 bell \a alone \ud800 </rdf:RDF> 🐈", "x": [{"__type": "core/ASSET"}]},
    }

    for form in FORMATS:
        found = made(comfyui_png(), delivery(form, said=odd)).content

        [described] = told(xmp_of(found), "dc:description/rdf:Alt/rdf:li")
        assert described.endswith("</rdf:RDF> 🐈")


def test_nothing_said_is_nothing_written_but_who_made_it_and_when() -> None:
    assert words.parameters({}) == ""

    image = opened(made(saved(noise()), delivery("webp", said={})).content)

    assert set(image.getexif()) == {exif.SOFTWARE, exif.DATE_TIME, exif.EXIF_IFD}


# What cannot be read ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"no picture",
        comfyui_png()[:400],
        b"\x89PNG\r\n\x1a\n",
        b"RIFF\xff\0\0\0WEBPVP8 ",
        b"\xff\xd8\xff\xe0",
    ],
    ids=["empty", "text", "truncated", "signature", "webp", "jpeg"],
)
@pytest.mark.parametrize("form", [PictureFormat.ORIGINAL, *FORMATS])
def test_what_is_no_picture_or_only_half_of_one_is_refused(content: bytes, form: PictureFormat) -> None:
    metadata = Metadata.STRIP if form is PictureFormat.ORIGINAL else Metadata.KEEP

    with pytest.raises(NotAPicture):
        convert.picture(content, delivery(form, metadata))


def test_a_bomb_is_refused_by_its_header() -> None:
    with pytest.raises(PictureTooLarge):
        convert.picture(png_bomb(9000, 9000), delivery("webp"))


def test_a_picture_wider_than_its_format_is_refused() -> None:
    with pytest.raises(encoding.TooWide, match="16383"):
        convert.picture(saved(Image.new("L", (17_000, 4))), delivery("webp"))


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP"])
@pytest.mark.parametrize("metadata", [Metadata.STRIP, Metadata.ANONYMISE])
def test_what_cannot_be_converted_can_be_silenced(form: str, metadata: Metadata) -> None:
    content = _talkative(form)

    found = convert.silenced(content, f"image/{form.lower()}", delivery("avif", metadata)).content

    assert not _words_in(found)
    assert opened(found).tobytes() == opened(content).tobytes()


def test_a_text_that_unpacks_to_gigabytes_is_refused() -> None:
    packed = b"prompt\0\0" + zlib.compress(b"\0" * 80_000_000, 9)
    whole = png()
    content = whole[:33] + png_chunk(b"zTXt", packed) + whole[33:]

    with pytest.raises(NotAPicture):
        convert.picture(content, delivery("webp"))


def test_words_of_a_kind_that_is_not_taken_apart_are_not_claimed_to_be_gone() -> None:
    with pytest.raises(CannotStrip):
        convert.picture(saved(noise(), "TIFF"), delivery("original", Metadata.STRIP))
    with pytest.raises(CannotStrip):
        convert.picture(moving("AVIF"), delivery("original", Metadata.STRIP))
