import socket
import stat
from pathlib import Path

import pytest

from atelier.accounts import service as accounts
from atelier.accounts.model import Role
from atelier.entry.first_key import first_key, write_private
from atelier.entry.listening import listen, url_of
from atelier.entry.reachable import reach_servers
from atelier.entry.settings import load
from atelier.entry.state import secrets_of
from atelier.kit.database import Database
from atelier.kit.errors import SetupFailed

PEPPER = b"pepper of a test"


def _mode(file: Path) -> int:
    return stat.S_IMODE(file.stat().st_mode)


def test_a_taken_port_is_refused_with_the_cure() -> None:
    with listen("127.0.0.1", 0) as taken, pytest.raises(SetupFailed, match="--port"):
        listen("127.0.0.1", taken.getsockname()[1])


@pytest.mark.parametrize("host", ["no such host", "192.0.2.1"])
def test_an_address_of_another_machine_is_refused_with_the_cure(host: str) -> None:
    with pytest.raises(SetupFailed, match="ATELIER_HOST"):
        listen(host, 0)


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])  # noqa: S104 - it is closed at once
def test_the_address_of_a_listener_can_be_called_from_here(host: str) -> None:
    with listen(host, 0) as listener:
        port = listener.getsockname()[1]

        assert url_of(listener) == f"http://127.0.0.1:{port}"


def test_secrets_are_made_once_and_closed_to_others(tmp_path: Path) -> None:
    settings = load(state_dir=tmp_path / "state")

    first, second = secrets_of(settings), secrets_of(settings)

    assert first == second
    assert first.pepper != first.links
    assert _mode(settings.state_dir / "key_pepper") == 0o600
    assert _mode(settings.state_dir) == 0o711


def test_secrets_that_are_set_are_not_written_down(tmp_path: Path) -> None:
    settings = load(state_dir=tmp_path / "state", key_pepper="pepper", link_secret="links")

    assert secrets_of(settings).pepper == b"pepper"
    assert not settings.state_dir.exists()


def test_a_state_folder_that_cannot_be_made_is_refused_with_the_cure(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(SetupFailed, match="--state"):
        secrets_of(load(state_dir=tmp_path / "file" / "state"))


async def test_the_first_key_is_the_same_after_a_restart(database: Database, tmp_path: Path) -> None:
    settings = load(state_dir=tmp_path)

    key = await first_key(settings, database, PEPPER)

    assert await first_key(settings, database, PEPPER) == key
    assert (await accounts.authenticate(database, PEPPER, key)).role is Role.ADMIN
    assert _mode(tmp_path / "first_key") == 0o600


async def test_a_first_key_that_is_none_is_replaced(database: Database, tmp_path: Path) -> None:
    settings = load(state_dir=tmp_path)
    (tmp_path / "first_key").write_bytes(b"\xff\xfe")

    made = await first_key(settings, database, b"pepper")

    assert made == await first_key(settings, database, b"pepper")


async def test_a_revoked_first_key_is_replaced(database: Database, tmp_path: Path) -> None:
    settings = load(state_dir=tmp_path)
    key = await first_key(settings, database, PEPPER)
    caller = await accounts.authenticate(database, PEPPER, key)
    async with database.transaction() as tx:
        await accounts.revoke_key(tx, caller.key_id)

    again = await first_key(settings, database, PEPPER)

    assert again != key
    assert (await accounts.authenticate(database, PEPPER, again)).account_id == caller.account_id


def test_a_file_that_others_could_read_is_closed_before_the_key_is_in_it(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text("old")
    file.chmod(0o644)

    write_private(file, "secret")

    assert (file.read_text(), _mode(file)) == ("secret\n", 0o600)


async def test_servers_of_which_none_answers_are_refused_by_name() -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{closed.getsockname()[1]}"

        with pytest.raises(SetupFailed, match=rf"no ComfyUI server answers at {url}.*ATELIER_COMFYUI_URLS"):
            await reach_servers(load(comfyui_urls=url))


async def test_one_server_that_answers_is_enough_to_start(simulator_url: str) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        silent = f"http://127.0.0.1:{closed.getsockname()[1]}"

        told = await reach_servers(load(comfyui_urls=f"{simulator_url},{silent}"))

    assert len(told) == 1
    assert silent in told[0]
