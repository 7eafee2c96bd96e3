"""A JPEG is taken apart in one look at each byte, whatever stands between its segments."""

import io

import pytest
from PIL import Image

from atelier.assets.pictures.containers import jpeg
from atelier.assets.pictures.reading import NotAPicture


def _made() -> bytes:
    file = io.BytesIO()
    Image.effect_noise((64, 64), 50).save(file, "JPEG", comment=b"said")
    return file.getvalue()


def test_runs_of_millions_of_fill_bytes_hold_nobody_up() -> None:
    whole = _made()
    pixels = len(whole) - 3
    filled = whole[:pixels] + b"\xff" * 3_000_000 + b"\0" + whole[pixels:]

    made = jpeg.stripped(filled)

    assert b"said" in filled
    assert made == jpeg.stripped(whole)[: -len(whole[pixels:])] + filled[pixels:]
    with pytest.raises(NotAPicture):
        jpeg.stripped(whole[:2] + b"\xff" * 3_000_000 + b"\0")
