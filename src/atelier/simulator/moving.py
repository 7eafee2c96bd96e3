"""A still picture moves as a loop of one turn, and frames that look the same are one object, however many."""

import math
from collections.abc import Callable, Iterator

from PIL import Image

from atelier.simulator.drawing import mark

TURN = 24
"""Different frames of one turn: a film of minutes holds no more pictures than this in memory."""

_REACH = 0.03
"""How far a picture moves, as a share of its sides."""


def moved(picture: Image.Image, count: int) -> Iterator[Image.Image]:
    """`count` frames of the picture's size, in which it sways and says what it is."""
    width, height = picture.size
    room = (round(width * (1 + 2 * _REACH)) + 2, round(height * (1 + 2 * _REACH)) + 2)
    larger = picture.resize(room, Image.Resampling.BILINEAR)

    def frame(angle: float) -> Image.Image:
        left = round((room[0] - width) / 2 * (1 + math.sin(angle)))
        top = round((room[1] - height) / 2 * (1 + math.cos(angle)))
        shown = larger.crop((left, top, left + width, top + height))
        mark(shown)
        return shown

    return turning(count, frame)


def turning(count: int, frame: Callable[[float], Image.Image]) -> Iterator[Image.Image]:
    """`count` frames of a loop; `frame` draws the one at an angle (radians) and is asked at most TURN times."""
    drawn = [frame(2 * math.pi * place / TURN) for place in range(min(count, TURN))]
    return (drawn[number % TURN] for number in range(count))
