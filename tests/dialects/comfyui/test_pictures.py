"""Copies of pictures cost bounded memory and few threads, whatever is asked for and however often."""

import asyncio
import contextlib
import io
import struct
from collections.abc import Generator
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from atelier.assets import service as assets
from atelier.assets.model import Asset, Draft
from atelier.assets.pictures.reading import FORMATS, MOST_ENCODED, NotAPicture, PictureTooLarge, pixels_of
from atelier.assets.pictures.turns import SMALL_AT_ONCE, PicturesBusy
from atelier.dialects.comfyui.pictures import Pictures
from atelier.dialects.comfyui.pixels import Variant, masked, render
from atelier.kit.database import Database
from atelier.kit.ids import AccountId, new_uuid
from atelier.storage.local_folder import LocalFolder
from atelier.storage.model import ContentMissing, Storage
from support.pictures import opened, png, png_bomb

WEBP = Variant("webp")
RGB = Variant("png", "rgb")


@pytest.fixture
def storage(tmp_path: Path) -> Storage:
    return LocalFolder(tmp_path)


async def kept(database: Database, storage: Storage, content: bytes) -> Asset:
    received = await assets.receive_bytes(database, storage, content)
    async with database.transaction() as tx:
        return (await assets.record(tx, received, Draft(AccountId(new_uuid())))).asset


async def test_many_who_ask_for_one_copy_share_its_making(database: Database, storage: Storage) -> None:
    asset = await kept(database, storage, png((64, 64)))
    made = Pictures()

    copies = await asyncio.gather(*(made.variant(storage, asset, WEBP) for _ in range(20)))

    assert len({id(copy) for copy in copies}) == 1
    assert opened(copies[0]).size == (64, 64)


async def test_the_oldest_copies_give_way(database: Database, storage: Storage) -> None:
    contents = [png((64, 64), (number, 0, 0)) for number in range(6)]
    files = [await kept(database, storage, content) for content in contents]
    made = Pictures(cache_bytes=4 * max(len(render(content, RGB)) for content in contents))
    for file in files:
        await made.variant(storage, file, RGB)

    with _gone(storage):
        newest = await made.variant(storage, files[-1], RGB)
        with pytest.raises(ContentMissing):
            await made.variant(storage, files[0], RGB)

    assert opened(newest).size == (64, 64)


async def test_a_large_copy_is_given_and_not_kept(database: Database, storage: Storage) -> None:
    asset = await kept(database, storage, png((64, 64)))
    made = Pictures(cache_bytes=10)

    first, second = [await made.variant(storage, asset, WEBP) for _ in range(2)]

    assert first == second
    assert first is not second


async def test_who_waits_too_long_is_told_to_come_again(database: Database, storage: Storage) -> None:
    asset = await kept(database, storage, png())
    made = Pictures(patience=0.05)

    async with contextlib.AsyncExitStack() as stack:
        for _ in range(SMALL_AT_ONCE):
            await stack.enter_async_context(made.turn(1))
        with pytest.raises(PicturesBusy) as refused:
            await made.variant(storage, asset, WEBP)

    assert refused.value.retry_after == 5
    assert opened(await made.variant(storage, asset, WEBP)).size == (4, 3)


async def test_a_file_of_hundreds_of_megabytes_is_not_even_fetched(database: Database, storage: Storage) -> None:
    asset = await kept(database, storage, png())
    large = replace(asset, blob=replace(asset.blob, size=MOST_ENCODED + 1))

    with pytest.raises(PictureTooLarge):
        await Pictures().variant(storage, large, WEBP)


def test_a_bomb_is_refused_by_its_header() -> None:
    bomb = png_bomb(10_000, 10_000)

    with pytest.raises(PictureTooLarge):
        pixels_of(bomb)
    with pytest.raises(PictureTooLarge):
        render(bomb, WEBP)
    with pytest.raises(PictureTooLarge):
        masked(png(), bomb)


@pytest.mark.parametrize("kind", FORMATS)
def test_every_format_of_pictures_is_read(kind: str) -> None:
    encoded = io.BytesIO()
    Image.new("RGB", (8, 9), (10, 20, 30)).save(encoded, kind)

    assert pixels_of(encoded.getvalue()) == 72
    assert opened(render(encoded.getvalue(), WEBP)).size == (8, 9)


def test_an_icon_is_not_opened_as_that_alone_would_decode_it() -> None:
    bomb = png_bomb(9_000, 9_000)
    entry = struct.pack("<BBBBHHII", 16, 16, 0, 0, 1, 32, len(bomb), 22)

    with pytest.raises(NotAPicture):
        render(struct.pack("<HHH", 0, 1, 1) + entry + bomb, WEBP)


def test_only_formats_of_pictures_are_read() -> None:
    for content in (
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n",
        b"%PDF-1.4\n",
        b"",
        b"\x89PNG\r\n\x1a\n",
    ):
        with pytest.raises(NotAPicture):
            pixels_of(content)


def test_a_picture_in_a_file_is_read_like_one_in_memory(tmp_path: Path) -> None:
    file = tmp_path / "x"
    file.write_bytes(png((8, 9)))

    assert pixels_of(file) == 72
    assert opened(masked(file, png((8, 9), (0, 0, 0, 5)))).getpixel((0, 0)) == (10, 20, 30, 5)


@contextlib.contextmanager
def _gone(storage: Storage) -> Generator[None]:
    for file in storage.spool.parent.rglob("*"):
        if file.is_file():
            file.unlink()
    yield
