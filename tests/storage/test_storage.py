import asyncio
import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from atelier.kit.errors import SetupFailed
from atelier.kit.http.ranges import Slice
from atelier.storage import Body, ContentMissing, Credentials, Storage, StorageUnavailable, open_storage

MIB = 1024 * 1024


def new_key() -> str:
    return f"blobs/ab/{uuid.uuid4().hex}"


async def all_of(body: Body) -> bytes:
    return b"".join([chunk async for chunk in body.chunks])


async def pieces(*contents: bytes) -> AsyncIterator[bytes]:
    for content in contents:
        yield content


async def put(storage: Storage, key: str, content: bytes) -> None:
    await storage.put(key, content, content_type="image/png")


async def test_bytes_come_back_as_they_went(storage: Storage) -> None:
    key = new_key()

    await put(storage, key, b"a picture")

    body = await storage.get(key)
    assert (body.size, body.total, await all_of(body)) == (9, 9, b"a picture")
    assert await storage.head(key) == 9
    assert await storage.exists(key)


async def test_an_empty_file_is_a_file(storage: Storage) -> None:
    key = new_key()

    await put(storage, key, b"")

    assert await storage.head(key) == 0
    assert await all_of(await storage.get(key)) == b""


async def test_a_large_body_is_streamed_in_and_out(storage: Storage) -> None:
    key = new_key()
    block = bytes(range(256)) * 4096

    await storage.put(key, pieces(*[block] * 7, b"end"), content_type="video/mp4")

    body = await storage.get(key)
    assert (body.size, await all_of(body)) == (7 * MIB + 3, block * 7 + b"end")


async def test_a_part_is_that_part_and_knows_the_whole(storage: Storage) -> None:
    key = new_key()
    content = bytes(range(250)) * 9000
    await put(storage, key, content)

    body = await storage.get(key, Slice(1_000_001, 2_200_000))

    assert (body.size, body.total) == (1_199_999, 2_250_000)
    assert await all_of(body) == content[1_000_001:2_200_000]


async def test_a_finished_file_is_taken_over(storage: Storage) -> None:
    key = new_key()
    storage.spool.mkdir(parents=True, exist_ok=True)
    file = storage.spool / "finished"
    file.write_bytes(b"x" * (6 * MIB))

    await storage.adopt(key, file, content_type="video/mp4")

    assert await storage.head(key) == 6 * MIB
    assert not file.exists()


async def test_what_is_not_there_is_missing_not_a_failure(storage: Storage) -> None:
    key = new_key()

    assert await storage.head(key) is None
    assert not await storage.exists(key)
    with pytest.raises(ContentMissing):
        await storage.get(key)
    with pytest.raises(ContentMissing):
        await storage.get(key, Slice(0, 1))


async def test_deleting_twice_is_fine(storage: Storage) -> None:
    key = new_key()
    await put(storage, key, b"x")

    await storage.delete(key)
    await storage.delete(key)

    assert not await storage.exists(key)


async def test_a_put_over_a_key_replaces_it_whole(storage: Storage) -> None:
    key = new_key()
    await put(storage, key, b"the longer first one")

    await put(storage, key, b"second")

    assert await all_of(await storage.get(key)) == b"second"


async def test_chunks_that_fail_leave_nothing_under_the_key(storage: Storage) -> None:
    async def breaking_off() -> AsyncIterator[bytes]:
        yield b"x" * MIB
        raise ConnectionResetError

    key = new_key()
    with pytest.raises(ConnectionResetError):
        await storage.put(key, breaking_off(), content_type="video/mp4")

    assert not await storage.exists(key)
    assert list(storage.spool.iterdir()) == []


async def test_a_cancelled_put_leaves_nothing_under_the_key(storage: Storage) -> None:
    begun = asyncio.Event()

    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield b"x" * MIB
            begun.set()
            await asyncio.sleep(0.001)

    key = new_key()
    async with asyncio.TaskGroup() as group:
        putting = group.create_task(storage.put(key, endless(), content_type="video/mp4"))
        async with asyncio.timeout(30):
            await begun.wait()
        putting.cancel()

    assert not await storage.exists(key)
    assert list(storage.spool.iterdir()) == []


async def test_a_hundred_small_outputs_at_once_are_all_whole(storage: Storage) -> None:
    keys = [new_key() for _ in range(100)]

    async with asyncio.TaskGroup() as group:
        for number, key in enumerate(keys):
            group.create_task(put(storage, key, bytes([number]) * 20_000))

    for number, key in enumerate(keys):
        assert await all_of(await storage.get(key)) == bytes([number]) * 20_000


@pytest.mark.parametrize("url", ["", "s3://", "azure://bucket/x", "https://example.com/x", "file://elsewhere/x"])
def test_a_url_that_names_no_storage_is_refused_in_words(url: str) -> None:
    with pytest.raises(SetupFailed, match="names no storage"):
        open_storage(url)


def test_a_folder_that_cannot_be_made_is_refused_in_words(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")

    with pytest.raises(SetupFailed, match="cannot be used"):
        open_storage(str(tmp_path / "file" / "files"))


async def test_a_folder_may_wait_for_the_disk(tmp_path: Path) -> None:
    storage = open_storage(str(tmp_path), sync=True)

    await put(storage, "blobs/synced", b"x")

    assert await storage.head("blobs/synced") == 1


def test_a_file_url_is_a_folder(tmp_path: Path) -> None:
    storage = open_storage(f"{(tmp_path / 'two words').as_uri()}")

    assert storage.spool.is_relative_to(tmp_path / "two words")


async def test_a_bucket_that_does_not_answer_is_unavailable(free_tcp_port: int, tmp_path: Path) -> None:
    nowhere = Credentials(f"http://127.0.0.1:{free_tcp_port}", "us-east-1", "key", "secret")
    storage = open_storage("s3://pictures", nowhere, spool=tmp_path)

    with pytest.raises(StorageUnavailable):
        await storage.head("blobs/x")
