"""Who runs the embedded server: never root; and never with more rights over other folders than it had."""

import contextlib
import getpass
import os
import pwd
import shutil
import subprocess
from collections.abc import Generator
from pathlib import Path

import pytest

from atelier.kit.errors import SetupFailed
from atelier.kit.postgres import EmbeddedPostgres, binaries, embedded
from support.postgres_users import SOURCES, Site, ask, using

NOBODY = 65534
WITHOUT_PTRACE = ("setpriv", "--bounding-set=-sys_ptrace", "--inh-caps=-sys_ptrace")

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")


def nobody_can_run_the_binaries() -> bool:
    program = binaries.installed().postgres
    asked = subprocess.run(["setpriv", f"--reuid={NOBODY}", "sh", "-c", f"'{program}' -V"], check=False)
    return asked.returncode == 0


def owner(path: Path) -> str:
    return pwd.getpwuid(path.stat().st_uid).pw_name


@pytest.fixture
def nobody() -> int:
    if not nobody_can_run_the_binaries():
        pytest.skip("the wheel is installed where the user nobody cannot run it")
    return NOBODY


@pytest.fixture
def closed(site: Site) -> Site:
    """A site below a folder that only root may enter, like /root."""
    closed = site.folder.parent / "closed"
    closed.mkdir(mode=0o700)
    return Site(closed / "server")


@pytest.fixture
def fallback(site: Site) -> Path:
    return site.folder.parent / "fallback"


@contextlib.contextmanager
def disk_of(megabytes: int, folder: Path) -> Generator[Site]:
    """A site on a small disk of its own; a data folder takes about 40 MB."""
    folder.mkdir()
    mount = ("mount", "-t", "tmpfs", "-o", f"size={megabytes}m,mode=0755", "none", folder)
    if subprocess.run(mount, check=False).returncode != 0:
        pytest.skip("this machine does not let us mount a small disk")
    try:
        yield Site(folder / "server")
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


@pytest.fixture
def full_disk(site: Site) -> Generator[Site]:
    with disk_of(8, site.folder.parent / "disk") as small:
        yield small


@pytest.fixture
def filling_disk(site: Site) -> Generator[Site]:
    with disk_of(80, site.folder.parent / "disk") as small:
        yield small


@as_root
async def test_root_hands_the_data_to_an_unprivileged_user(site: Site) -> None:
    async with using(site) as user:
        await user.answered()
        runs_as = owner(Path(f"/proc/{site.pid()}"))
        await user.leave()

    assert runs_as == owner(site.data)
    assert runs_as in {"postgres", "nobody"}
    assert site.data.stat().st_mode & 0o777 == 0o700


@as_root
async def test_root_on_a_machine_without_a_user_postgres_hands_the_data_to_nobody(
    site: Site, nobody: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("atelier.kit.postgres.runner.SERVICE_USERS", ("no-such-user", "nobody"))

    async with embedded(site.folder) as url:
        answer = await ask(url, "SELECT 1")

    assert answer == "1"
    assert site.data.stat().st_uid == nobody


@as_root
async def test_root_on_a_machine_without_any_fitting_user_is_told_what_to_do(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("atelier.kit.postgres.runner.SERVICE_USERS", ("no-such-user",))

    with pytest.raises(SetupFailed, match="useradd --system postgres"):
        await EmbeddedPostgres.start(site.folder)


@as_root
async def test_an_ordinary_user_runs_it_as_itself(site: Site, nobody: int) -> None:
    site.folder.mkdir()
    os.chown(site.folder, nobody, nobody)

    async with using(site, uid=nobody) as user:
        answer = await ask((await user.answered()).url, "SELECT 1")
        runs_as = owner(Path(f"/proc/{site.pid()}"))
        await user.leave()

    assert answer == "1"
    assert runs_as == "nobody"
    assert not site.lives()


@as_root
async def test_root_runs_an_existing_server_as_the_user_that_owns_its_data(site: Site, nobody: int) -> None:
    site.folder.mkdir()
    os.chown(site.folder, nobody, nobody)
    async with using(site, uid=nobody) as user:
        await user.answered()
        await user.leave()

    async with using(site) as root:
        await root.answered()
        runs_as = owner(Path(f"/proc/{site.pid()}"))
        await root.leave()

    assert runs_as == "nobody"


@as_root
async def test_data_below_a_folder_that_only_root_may_enter_go_to_a_named_place(
    closed: Site, fallback: Path
) -> None:
    async with using(closed, fallback=fallback) as user:
        answer = await ask((await user.answered()).url, "SELECT 1")
        data = Path(await ask(user.url, "SHOW data_directory"))
        await user.leave()
    async with using(closed, fallback=fallback) as again:
        same = Path(await ask((await again.answered()).url, "SHOW data_directory"))
        await again.leave()

    assert answer == "1"
    assert data.is_relative_to(fallback)
    assert same == data
    assert any(f"keeps its data in {data.parent}" in words for words in user.said)
    assert closed.folder.parent.stat().st_mode & 0o777 == 0o700


@as_root
async def test_binaries_below_a_folder_that_only_root_may_enter_are_copied_once(
    site: Site, closed: Site, fallback: Path
) -> None:
    """The wheel seems to be installed in the closed folder."""
    wheel = binaries.installed().folder.parent.parent
    for name in (wheel.name, f"{wheel.name}.libs"):
        (closed.folder.parent / name).symlink_to(wheel.parent / name)
    environment = {"PYTHONPATH": f"{SOURCES}:{closed.folder.parent}"}

    async with using(site, environment=environment, fallback=fallback) as user:
        answer = await ask((await user.answered()).url, "SELECT 1")
        program = Path(f"/proc/{site.pid()}/exe").readlink()
        await user.leave()

    assert answer == "1"
    assert program.is_relative_to(fallback)
    assert any(f"runs from {program.parent}" in words for words in user.said)
    assert len(list(fallback.iterdir())) == 1


@as_root
async def test_data_that_their_owner_may_no_longer_enter_are_refused_instead_of_begun_anew(
    closed: Site, fallback: Path
) -> None:
    closed.folder.parent.chmod(0o755)
    async with using(closed, fallback=fallback) as user:
        await user.answered()
        await user.leave()
    closed.folder.parent.chmod(0o700)

    async with using(closed, fallback=fallback) as refused:
        await refused.answered()

    assert "may not enter it" in refused.refused


@as_root
async def test_root_in_a_container_that_may_not_look_into_processes_can_start_share_and_stop(site: Site) -> None:
    async with using(site, before=WITHOUT_PTRACE) as one, using(site, before=WITHOUT_PTRACE) as two:
        urls = {(await one.answered()).url, (await two.answered()).url}
        await one.leave()
        await two.leave()

    assert len(urls) == 1
    assert "" not in urls
    assert not site.lives()


@as_root
async def test_a_folder_that_we_may_not_write_is_refused_with_the_cure(closed: Site, nobody: int) -> None:
    async with using(closed, uid=nobody) as user:
        refusal = (await user.answered()).refused

    assert "may not write to" in refusal
    assert "name another state folder" in refusal


@as_root
async def test_a_full_disk_is_refused_with_the_cure_and_leaves_nothing(full_disk: Site) -> None:
    async with using(full_disk) as user:
        refusal = (await user.answered()).refused

    assert "the disk is full" in refusal
    assert not full_disk.lives()
    assert not full_disk.data.exists()
    assert not list(full_disk.folder.glob(".making-*"))


@as_root
async def test_a_disk_that_is_full_at_a_later_start_is_refused_with_the_cure(filling_disk: Site) -> None:
    async with using(filling_disk) as user:
        await user.answered()
        await user.leave()
    with (filling_disk.folder.parent / "filler").open("wb") as filler, contextlib.suppress(OSError):
        while True:
            filler.write(bytes(65536))
            filler.flush()

    async with using(filling_disk) as refused:
        refusal = (await refused.answered()).refused

    assert "the disk is full" in refusal
    assert not filling_disk.lives()


@as_root
async def test_data_that_belong_to_root_are_refused_with_the_cure(site: Site) -> None:
    site.data.mkdir(parents=True)

    async with using(site) as user:
        refusal = (await user.answered()).refused

    assert "chown -R" in refusal


@pytest.mark.skipif(os.geteuid() == 0, reason="root is tested above")
async def test_whoever_runs_the_tests_runs_the_server(site: Site) -> None:
    async with using(site) as user:
        await user.answered()
        runs_as = owner(site.data)
        await user.leave()

    assert runs_as == getpass.getuser()
    assert shutil.which("setpriv") is None or not site.lives()
