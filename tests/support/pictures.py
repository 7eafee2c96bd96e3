"""Small pictures as clients upload them."""

import io
import zlib

from PIL import Image, PngImagePlugin


def png(size: tuple[int, int] = (4, 3), color: tuple[int, ...] = (10, 20, 30), **texts: str) -> bytes:
    """RGB or RGBA, as the color has it; `texts` become text chunks."""
    info = PngImagePlugin.PngInfo()
    for key, text in texts.items():
        info.add_text(key, text)
    encoded = io.BytesIO()
    Image.new("RGBA" if len(color) == 4 else "RGB", size, color).save(encoded, "PNG", pnginfo=info)
    return encoded.getvalue()


def opened(content: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(content))
    image.load()
    return image


def png_bomb(width: int, height: int) -> bytes:
    """A PNG of some hundred kilobytes that unpacks to `width` x `height` gray pixels."""
    packer, packed = zlib.compressobj(9), b""
    row = b"\0" * (width + 1)
    for _ in range(height):
        packed += packer.compress(row)
    packed += packer.flush()
    header = width.to_bytes(4, "big") + height.to_bytes(4, "big") + b"\x08\0\0\0\0"
    return b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", header) + png_chunk(b"IDAT", packed) + png_chunk(b"IEND", b"")


def png_chunk(kind: bytes, body: bytes) -> bytes:
    return len(body).to_bytes(4, "big") + kind + body + zlib.crc32(kind + body).to_bytes(4, "big")
