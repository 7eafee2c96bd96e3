"""One process and its embedded server: starts, restarts, crashes, refusals."""

import asyncio
import os
import signal
from pathlib import Path

import psycopg
import pytest

from atelier.kit.errors import SetupFailed
from atelier.kit.postgres import EmbeddedPostgres, embedded, pidfile, server
from atelier.kit.postgres.home import settle
from support.postgres_users import Site, ask, tell, using


async def test_a_cold_start_gives_an_empty_durable_unicode_database(site: Site) -> None:
    async with embedded(site.folder) as url:
        encoding = await ask(url, "SHOW server_encoding")
        lowered = await ask(url, "SELECT lower('ÄÉ')")
        connections = await ask(url, "SHOW max_connections")
        fsync = await ask(url, "SHOW fsync")
        database = await ask(url, "SELECT current_database()")

    assert (encoding, lowered, connections, fsync, database) == ("UTF8", "äé", "200", "on", "atelier")


async def test_a_warm_start_finds_what_was_written_before(site: Site) -> None:
    async with embedded(site.folder) as url:
        await tell(url, "CREATE TABLE kept AS SELECT 7 AS number")
    stopped = not site.lives()

    async with embedded(site.folder) as url:
        number = await ask(url, "SELECT number FROM kept")

    assert stopped
    assert number == "7"


async def test_a_killed_server_recovers_at_the_next_start(site: Site) -> None:
    async with embedded(site.folder) as url:
        await tell(url, "CREATE TABLE kept (number int)", "INSERT INTO kept VALUES (7)")
        await site.crash()

    async with embedded(site.folder) as url:
        number = await ask(url, "SELECT number FROM kept")

    assert number == "7"


async def test_a_pid_in_a_stale_pid_file_that_lives_elsewhere_is_not_believed(site: Site) -> None:
    async with embedded(site.folder) as url:
        owner = site.data.stat()
        await site.crash()
        stranger = await asyncio.create_subprocess_exec(
            "sleep", "60", user=owner.st_uid, group=owner.st_gid, cwd="/"
        )
        for stale in (site.data / "postmaster.pid", site.folder / "run" / ".s.PGSQL.5432.lock"):
            lines = stale.read_text(encoding="utf-8").splitlines()
            stale.write_text("\n".join([str(stranger.pid), *lines[1:]]) + "\n", encoding="utf-8")

    try:
        async with embedded(site.folder) as url:
            answer = await ask(url, "SELECT 1")
        stranger_lives = stranger.returncode is None
    finally:
        stranger.kill()
        await stranger.wait()

    assert answer == "1"
    assert stranger_lives


async def test_the_server_is_in_a_session_of_its_own_so_that_ctrl_c_does_not_reach_it(site: Site) -> None:
    async with embedded(site.folder):
        session = os.getsid(site.pid())

    assert session != os.getsid(0)


@pytest.mark.parametrize("steps", [1, 3, 10, 40])
async def test_a_start_that_is_cancelled_leaves_nothing_running(site: Site, steps: int) -> None:
    async with asyncio.TaskGroup() as group:
        start = group.create_task(EmbeddedPostgres.start(site.folder))
        await asyncio.sleep(steps * 0.015)
        start.cancel()
    left = site.lives()

    async with embedded(site.folder) as url:
        answer = await ask(url, "SELECT 1")

    assert not left
    assert answer == "1"


async def test_a_long_recovery_is_waited_for_and_told(site: Site) -> None:
    """The start-up process is frozen in its recovery until the waiter has spoken."""
    spoken: list[str] = []
    async with embedded(site.folder) as url:
        await tell(url, "CREATE TABLE kept AS SELECT generate_series(1, 1000) AS number")
        await site.crash()

    def hear(words: str) -> None:
        spoken.append(words)
        os.kill(site.pid(), signal.SIGCONT)

    async with asyncio.TaskGroup() as group:
        start = group.create_task(EmbeddedPostgres.start(site.folder, announce=hear))
        while pidfile.read(site.data) is None or not site.lives():  # noqa: ASYNC110 - a file has no event
            await asyncio.sleep(0)
        os.kill(site.pid(), signal.SIGSTOP)
    await start.result().leave()

    assert spoken


async def test_data_of_another_major_version_are_refused_and_left_alone(site: Site) -> None:
    async with embedded(site.folder):
        pass
    (site.data / "PG_VERSION").write_text("15\n", encoding="utf-8")

    with pytest.raises(SetupFailed, match="made by PostgreSQL 15 and this Atelier brings 18"):
        await EmbeddedPostgres.start(site.folder)

    assert not site.lives()
    assert (site.data / "PG_VERSION").read_text(encoding="utf-8") == "15\n"


async def test_a_server_that_cannot_start_says_its_own_reason(site: Site) -> None:
    async with embedded(site.folder):
        pass
    (site.data / "postgresql.auto.conf").write_text("shared_buffers = 'a lot'\n", encoding="utf-8")
    (site.data / "global" / "pg_control").unlink()

    with pytest.raises(SetupFailed, match=r"did not start .*its log is"):
        await EmbeddedPostgres.start(site.folder)

    assert not site.lives()


async def test_a_path_too_long_for_a_socket_gets_a_short_closed_folder(site: Site) -> None:
    long = Site(site.folder / ("x" * 60) / ("y" * 60))
    site.folder.mkdir()

    async with embedded(long.folder) as url:
        answer = await ask(url, "SELECT 1")
        sockets = Path((await ask(url, "SHOW unix_socket_directories")).strip('"'))
        mode = sockets.stat().st_mode & 0o777

    assert answer == "1"
    assert not sockets.is_relative_to(long.folder)
    assert mode == 0o700
    sockets.rmdir()


async def test_without_sockets_the_server_listens_on_loopback_and_asks_for_the_password(site: Site) -> None:
    long = Site(site.folder / ("x" * 60) / ("y" * 60))
    long.folder.parent.mkdir(parents=True)

    async with using(long, environment={"TMPDIR": str(long.folder.parent)}) as user:
        url = (await user.answered()).url
        right = await ask(url, "SHOW listen_addresses")
        password = url.partition("atelier:")[2].partition("@")[0]
        with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
            await ask(url.replace(password, "wrong"), "SELECT 1")
        await user.leave()

    assert right == "127.0.0.1"


async def test_the_old_log_is_put_aside_when_it_is_long(site: Site) -> None:
    async with embedded(site.folder):
        pass
    os.truncate(site.folder / "log", server.LOG_LIMIT + 1)

    async with embedded(site.folder):
        pass

    assert (site.folder / "log").stat().st_size < 10_000
    assert (site.folder / "log.old").exists()


async def test_what_a_killed_first_start_left_half_made_is_made_anew(site: Site) -> None:
    home = await settle(site.folder, print, Path("/nowhere"))
    (home.folder / ".making-killed").mkdir()

    async with embedded(site.folder) as url:
        answer = await ask(url, "SELECT 1")

    assert answer == "1"
    assert not (home.folder / ".making-killed").exists()
