"""A sampled latent becomes pictures: drawn alone, blended with what was encoded, or moving."""

from PIL import Image

from atelier.simulator.drawing import draw
from atelier.simulator.moving import moved
from atelier.simulator.nodes.call import Pictures
from atelier.simulator.nodes.values import PIXELS, Latent
from atelier.simulator.pictures import Picture, resized

_OF_A_START = 0.5
"""How much of a film that begins with a picture is drawn: sampling replaces all, and still keeps what it saw."""


def rendered(latent: Latent) -> Pictures:
    """Every picture of the latent; of a film every frame, one film after the other."""
    pictures = [_picture(latent, number) for number in range(latent.batch)]
    if not latent.frames:
        return tuple(Picture(picture) for picture in pictures)
    return tuple(Picture(frame) for picture in pictures for frame in moved(picture, latent.frames))


def whole_cells(picture: Picture) -> Picture:
    """Sides cut to whole latent cells, as the real encoder does."""
    width, height = (side // PIXELS * PIXELS for side in picture.size)
    left, top = (picture.size[0] - width) // 2, (picture.size[1] - height) // 2
    return Picture(picture.saved().crop((left, top, left + width, top + height)))


def _picture(latent: Latent, number: int) -> Image.Image:
    base = latent.base[number % len(latent.base)].saved().convert("RGB") if latent.base else None
    if base is not None and base.size != latent.size:
        base = resized(base, latent.size, Image.Resampling.BICUBIC)
    if latent.recipe is None:
        return base or Image.new("RGB", latent.size, (127, 127, 127))
    drawn = draw(latent.recipe, latent.size, number)
    if base is None:
        return drawn
    share = _OF_A_START if latent.frames else max(0.0, min(1.0, latent.share))
    blended = Image.blend(base, drawn, share)
    if latent.mask is None:
        return blended
    return Image.composite(blended, base, resized(latent.mask.saved().convert("L"), latent.size))
