import asyncio
import signal
import subprocess
import sys
from collections.abc import AsyncIterator

import pytest
from blake3 import blake3

from assets.conftest import LIMIT, Shelf, pieces
from atelier.assets import service
from atelier.assets.model import Digest
from atelier.assets.spool import TooLarge
from atelier.kit.errors import Kind

MIB = 1024 * 1024
PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 100

UPLOAD = """
import asyncio, resource, sys, time
from atelier.assets import service
from atelier.kit.database import Database
from atelier.storage import open_storage

async def chunks(mebibytes, pause):
    block = bytes(range(256)) * 256
    for number in range(mebibytes * 16):
        yield block
        if pause and number == 40:
            print("writing", flush=True)
            await asyncio.sleep(60)

async def main(url, folder, mebibytes, pause):
    database = Database(url)
    await database.open()
    storage = open_storage(folder)
    await service.receive(database, storage, chunks(1, False), limit_bytes=2**40)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    await service.receive(database, storage, chunks(mebibytes, pause), limit_bytes=2**40)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before, flush=True)
    await database.close()

asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4] == "pause"))
"""


async def test_received_bytes_are_stored_under_their_hash_with_what_they_are(shelf: Shelf) -> None:
    received = await shelf.receive(PNG[:5], PNG[5:])

    assert received.hash == blake3(PNG).digest()
    assert (received.size, received.content_type) == (len(PNG), "image/png")
    assert await shelf.storage.head(received.blob.key) == len(PNG)


async def test_large_bytes_are_the_same_bytes(shelf: Shelf) -> None:
    blocks = [bytes([number]) * 700_001 for number in range(8)]

    received = await shelf.receive(*blocks)

    body = await shelf.storage.get(received.blob.key)
    assert b"".join([chunk async for chunk in body.chunks]) == b"".join(blocks)
    assert received.hash == blake3(b"".join(blocks)).digest()
    assert list(shelf.storage.spool.iterdir()) == []


async def test_bytes_in_memory_are_received_alike(shelf: Shelf) -> None:
    streamed = await shelf.receive(PNG)

    whole = await service.receive_bytes(shelf.database, shelf.storage, PNG)

    assert whole == streamed


async def test_the_same_bytes_are_stored_once(shelf: Shelf) -> None:
    first = await shelf.receive(b"x" * 2 * MIB)
    second = await shelf.receive(b"x" * 2 * MIB)

    assert first == second
    assert len(shelf.files()) == 1


async def test_bytes_that_the_disk_lost_are_stored_again(shelf: Shelf) -> None:
    first = await shelf.receive(PNG)
    shelf.files()[0].write_bytes(b"")

    await shelf.receive(PNG)

    assert await shelf.storage.head(first.blob.key) == len(PNG)


async def test_uploads_of_the_same_bytes_at_once_agree(shelf: Shelf) -> None:
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(shelf.receive(b"y" * 1_500_000)) for _ in range(8)]

    assert len({task.result().blob.key for task in tasks}) == 1
    assert len(shelf.files()) == 1


@pytest.mark.parametrize("over", [b"x" * 100, b"x" * 3 * MIB])
async def test_bytes_over_the_limit_are_refused_and_nothing_is_left(shelf: Shelf, over: bytes) -> None:
    with pytest.raises(TooLarge) as refused:
        await service.receive(shelf.database, shelf.storage, pieces(over, b"x"), limit_bytes=len(over))

    assert (refused.value.kind, refused.value.code) == (Kind.TOO_LARGE, "payload_too_large")
    assert shelf.files() == []
    assert await shelf.run("SELECT 1 FROM blobs") == []


async def test_bytes_in_memory_over_the_limit_are_refused(shelf: Shelf) -> None:
    with pytest.raises(TooLarge):
        await service.receive_bytes(shelf.database, shelf.storage, b"x" * 11, limit_bytes=10)


async def test_other_bytes_than_promised_are_refused_and_nothing_is_left(shelf: Shelf) -> None:
    promised = Digest(blake3(b"something else").digest())

    with pytest.raises(service.HashMismatch) as refused:
        await service.receive(
            shelf.database, shelf.storage, pieces(b"x" * 2 * MIB), limit_bytes=LIMIT, expected_hash=promised
        )

    assert (refused.value.kind, refused.value.code) == (Kind.CONFLICT, "hash_mismatch")
    assert shelf.files() == []


async def test_a_sender_that_breaks_off_leaves_nothing(shelf: Shelf) -> None:
    async def breaking_off() -> AsyncIterator[bytes]:
        yield b"x" * 3 * MIB
        raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        await service.receive(shelf.database, shelf.storage, breaking_off(), limit_bytes=LIMIT)

    assert shelf.files() == []


async def test_a_cancelled_upload_leaves_nothing(shelf: Shelf) -> None:
    half = asyncio.Event()

    async def stalling() -> AsyncIterator[bytes]:
        yield b"x" * 3 * MIB
        half.set()
        await asyncio.sleep(60)

    async with asyncio.TaskGroup() as group:
        receiving = group.create_task(
            service.receive(shelf.database, shelf.storage, stalling(), limit_bytes=LIMIT)
        )
        async with asyncio.timeout(30):
            await half.wait()
        assert len(shelf.files()) == 1
        receiving.cancel()

    assert shelf.files() == []


async def test_memory_stays_flat_while_300_mb_come(shelf: Shelf, database_url: str) -> None:
    process = await asyncio.create_subprocess_exec(
        *uploading(database_url, shelf, "300", "through"), stdout=subprocess.PIPE
    )
    async with asyncio.timeout(100):
        output, _ = await process.communicate()

    kibibytes = int(output)
    assert process.returncode == 0
    assert kibibytes < 24 * 1024
    assert sum(file.stat().st_size for file in shelf.files()) == 301 * MIB


async def test_kill_9_in_mid_upload_stores_nothing(shelf: Shelf, database_url: str) -> None:
    process = await asyncio.create_subprocess_exec(
        *uploading(database_url, shelf, "10", "pause"), stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    async with asyncio.timeout(60):
        assert await process.stdout.readline() == b"writing\n"
        process.send_signal(signal.SIGKILL)
        await process.communicate()

    assert len(await shelf.run("SELECT 1 FROM blobs")) == 1
    assert len([file for file in shelf.files() if file.parent != shelf.storage.spool]) == 1


def uploading(url: str, shelf: Shelf, mebibytes: str, how: str) -> list[str]:
    return [sys.executable, "-c", UPLOAD, url, str(shelf.storage.spool.parent), mebibytes, how]
