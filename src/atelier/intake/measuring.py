"""How large a picture is stands in its first bytes: no pixel of it is decoded to know it."""

from dataclasses import dataclass

from PIL import Image

from atelier.assets import service as assets
from atelier.assets.model import Asset
from atelier.assets.pictures.fetching import fetched
from atelier.assets.pictures.reading import Encoded, NotAPicture, opened
from atelier.kit.http.ranges import Slice
from atelier.storage.model import Storage
from atelier.storage.threads import in_thread

HEAD_BYTES = 256 * 1024
"""Headers of PNG, GIF and most JPEG files end within it; the other formats are read whole."""

_ORIENTATION = 0x0112
_ON_ITS_SIDE = frozenset({5, 6, 7, 8})


@dataclass(frozen=True, slots=True)
class Size:
    """Pixels as they are stored. `turned`: EXIF says to show it with its sides exchanged."""

    width: int
    height: int
    turned: bool = False

    @property
    def shown(self) -> tuple[int, int]:
        """As ComfyUI's LoadImage has it, which turns pictures as EXIF says (nodes.LoadImage)."""
        return (self.height, self.width) if self.turned else (self.width, self.height)

    @property
    def stored(self) -> tuple[int, int]:
        """As LoadImageMask has it, which does not."""
        return (self.width, self.height)


async def measured(storage: Storage, asset: Asset) -> Size:
    """Raises NotAPicture, PictureTooLarge, ContentMissing, StorageUnavailable."""
    if asset.size > HEAD_BYTES:
        head = await assets.stream(storage, asset, Slice(0, HEAD_BYTES))
        try:
            return await in_thread(size_of, b"".join([chunk async for chunk in head.chunks]))
        except NotAPicture:  # its header may be longer, or its format wants all of it
            pass
    async with fetched(storage, asset) as whole:
        return await in_thread(size_of, whole.content)


def size_of(content: Encoded) -> Size:
    """Blocking. Raises NotAPicture, PictureTooLarge."""
    with opened(content) as image:
        return Size(image.width, image.height, _is_turned(image))


def _is_turned(image: Image.Image) -> bool:
    """A PNG that has no EXIF before its pixels would be decoded to look behind them."""
    if image.format == "PNG" and "exif" not in image.info:
        return False
    return image.getexif().get(_ORIENTATION) in _ON_ITS_SIDE
