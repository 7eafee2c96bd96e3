import errno
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from atelier.kit.http.ranges import Slice, parse_range
from atelier.storage import ContentMissing, StorageUnavailable
from atelier.storage.local_folder import LocalFolder

ENDLESS_PUT = """
import asyncio, sys
from pathlib import Path
from atelier.storage.local_folder import LocalFolder

async def chunks():
    for number in range(10_000_000):
        yield b"x" * 65536
        if number == 40:
            print("writing", flush=True)

asyncio.run(LocalFolder(Path(sys.argv[1])).put("blobs/killed", chunks(), content_type="video/mp4"))
"""


async def test_kill_9_in_mid_put_leaves_nothing_under_the_key(tmp_path: Path) -> None:
    writer = subprocess.Popen([sys.executable, "-c", ENDLESS_PUT, str(tmp_path)], stdout=subprocess.PIPE)
    assert writer.stdout is not None
    with writer:
        assert writer.stdout.readline() == b"writing\n"
        writer.send_signal(signal.SIGKILL)

    storage = LocalFolder(tmp_path)
    assert not await storage.exists("blobs/killed")
    assert [file.stat().st_size > 0 for file in storage.spool.iterdir()] == [True]


async def test_a_file_that_was_cut_short_is_missing_not_an_endless_answer(tmp_path: Path) -> None:
    storage = LocalFolder(tmp_path)
    await storage.put("blobs/x", b"x" * 3_000_000, content_type="image/png")
    body = await storage.get("blobs/x")
    (tmp_path / "blobs" / "x").write_bytes(b"x" * 1_500_000)

    with pytest.raises(ContentMissing):
        _ = [chunk async for chunk in body.chunks]


async def test_a_reader_that_goes_away_keeps_nothing_open(tmp_path: Path) -> None:
    storage = LocalFolder(tmp_path)
    await storage.put("blobs/x", b"x" * 3_000_000, content_type="image/png")

    body = await storage.get("blobs/x")
    first = await anext(body.chunks)

    assert len(first) == 1024 * 1024
    assert all(str(tmp_path) not in str(fd.resolve()) for fd in Path("/proc/self/fd").iterdir())


@pytest.mark.parametrize("key", ["../x", "/etc/passwd", "a//b", "", "A", "a/../b", ".incoming/x", "a\n", "a\\b"])
async def test_only_keys_of_our_own_making_are_keys(tmp_path: Path, key: str) -> None:
    storage = LocalFolder(tmp_path)

    with pytest.raises(ValueError, match="not a storage key"):
        await storage.put(key, b"x", content_type="image/png")


async def test_a_folder_has_no_address_of_its_own(tmp_path: Path) -> None:
    assert await LocalFolder(tmp_path).public_url("blobs/x", ttl=timedelta(hours=1)) is None


def test_a_full_disk_is_said_in_words_without_the_path() -> None:
    refusal = StorageUnavailable.because(OSError(errno.ENOSPC, "No space left on device", "/secret/place"))

    assert refusal.message == "The file storage is full; the operator has to make room."


async def test_a_key_whose_folder_is_a_file_is_unavailable(tmp_path: Path) -> None:
    storage = LocalFolder(tmp_path)
    (tmp_path / "blobs").write_bytes(b"in the way")

    with pytest.raises(StorageUnavailable):
        await storage.put("blobs/x", b"x", content_type="image/png")
    assert list(storage.spool.iterdir()) == []


async def test_a_chunk_of_nothing_ends_nothing(tmp_path: Path) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        yield b"one"
        yield b""
        yield b"two"

    storage = LocalFolder(tmp_path)
    await storage.put("blobs/x", chunks(), content_type="text/plain")

    assert [chunk async for chunk in (await storage.get("blobs/x")).chunks] == [b"onetwo"]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(size=st.integers(0, 300), first=st.integers(0, 400), last=st.integers(0, 400), form=st.sampled_from("fls"))
async def test_a_range_header_gives_the_bytes_it_names(
    tmp_path: Path, size: int, first: int, last: int, form: str
) -> None:
    storage = LocalFolder(tmp_path)
    content = bytes(number % 256 for number in range(size))
    await storage.put("blobs/x", content, content_type="image/png")
    header = {"f": f"bytes={first}-", "l": f"bytes={first}-{last}", "s": f"bytes=-{last}"}[form]
    expected = {"f": content[first:], "l": content[first : last + 1], "s": content[max(0, size - last) :]}[form]

    match parse_range(header, size):
        case Slice() as part:
            body = await storage.get("blobs/x", part)
            assert b"".join([chunk async for chunk in body.chunks]) == (expected if last or form != "s" else b"")
        case _:
            assert expected == b"" or (form == "s" and last == 0)


async def test_a_new_folder_is_closed_to_others_and_an_old_one_stays_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "old").mkdir(mode=0o750)
    for name in ("old", "new/files"):
        await LocalFolder(tmp_path / name).put("blobs/x", b"x", content_type="image/png")

    assert (tmp_path / "new" / "files").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "old").stat().st_mode & 0o777 == 0o750
