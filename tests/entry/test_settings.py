from pathlib import Path

import pytest

from atelier.entry import settings as all_settings
from atelier.entry.old_names import OURS, translate
from atelier.entry.settings import Settings, child_environment, load, notices, variable
from atelier.kit.errors import SetupFailed


@pytest.fixture(autouse=True)
def _nothing_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [*OURS, *map(variable, Settings.model_fields)]:
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90", 90), ("500ms", 0.5), ("30s", 30), ("5m", 300), ("24h", 86_400), ("30d", 2_592_000)],
)
def test_durations_are_written_as_people_write_them(
    monkeypatch: pytest.MonkeyPatch, text: str, seconds: float
) -> None:
    monkeypatch.setenv("ATELIER_QUEUE_TTL", text)

    assert load().queue_ttl == seconds


@pytest.mark.parametrize(("text", "size"), [("1000", 1000), ("100MB", 100_000_000), ("2 GiB", 2 * 2**30)])
def test_sizes_are_written_as_people_write_them(monkeypatch: pytest.MonkeyPatch, text: str, size: int) -> None:
    monkeypatch.setenv("ATELIER_UPLOAD_LIMIT", text)

    assert load().upload_limit == size


def test_an_empty_variable_is_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ATELIER_PORT", "")

    assert load().port == 8189


def test_options_win_over_variables_and_unset_options_do_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ATELIER_PORT", "1000")
    monkeypatch.setenv("ATELIER_HOST", "::1")

    settings = load(port=2000, host=None)

    assert (settings.port, settings.host) == (2000, "::1")


def test_the_state_folder_is_absolute(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)

    assert load().state_dir == tmp_path / ".atelier"
    assert load(state_dir=Path("inner/../other")).state_dir == tmp_path / "other"


def test_servers_are_a_list_of_whole_addresses_without_repetition() -> None:
    settings = load(comfyui_urls="192.168.1.20:8188, https://gpu.example.com/comfy/ http://192.168.1.20:8188")

    assert settings.comfyui_urls == ("http://192.168.1.20:8188", "https://gpu.example.com/comfy")


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("ATELIER_PORT", "abc", "ATELIER_PORT must be a valid integer"),
        ("ATELIER_PORT", "70000", "ATELIER_PORT must be less than or equal to 65535"),
        ("ATELIER_QUEUE_TTL", "2 moons", "write a duration like"),
        ("ATELIER_QUEUE_TTL", "soon", "write a duration like"),
        ("ATELIER_UPLOAD_LIMIT", "much", "ATELIER_UPLOAD_LIMIT is not usable: write a size like"),
        ("ATELIER_UPLOAD_LIMIT", "-1", "write a size like"),
        ("ATELIER_COMFYUI_HEADERS", '{"http://a": 1}', "write JSON like"),
        ("ATELIER_COMFYUI_HEADERS", "[]", "write JSON like"),
        ("ATELIER_CORS_ORIGINS", "*", "name each origin"),
        ("ATELIER_COMFYUI_URLS", "ftp://server", "write an address like"),
        ("ATELIER_COMFYUI_URLS", "http://me:secret@server", "keep passwords out of addresses"),
        ("ATELIER_COMFYUI_HEADERS", "{", "write JSON like"),
        ("ATELIER_LOG_LEVEL", "loud", "ATELIER_LOG_LEVEL must be 'debug', 'info', 'warning' or 'error'"),
        ("ATELIER_LEASE_HOLD", "1s", "ATELIER_LEASE_HEARTBEAT must be shorter"),
        ("COMFYUI_TIMEOUT", "soon", "ATELIER_RUN_TIMEOUT (read from COMFYUI_TIMEOUT)"),
    ],
)
def test_a_mistake_is_one_sentence_that_names_the_variable(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, says: str
) -> None:
    monkeypatch.setenv(name, value)

    with pytest.raises(SetupFailed) as refused:
        load()

    assert says in refused.value.message
    assert "\n" not in refused.value.message
    assert "secret" not in refused.value.message


def test_every_old_name_is_read() -> None:
    environ = {
        "COMFYUI_URL": "http://a:1",
        "COMFYUI_SERVICE_TOKEN": "token",
        "COMFYUI_TIMEOUT": "300000",
        "COMFYUI_POLL_INTERVAL": "2",
    }

    found = translate(environ)

    assert found.values == {
        "comfyui_urls": "http://a:1",
        "comfyui_token": "token",
        "run_timeout": "300.0",
        "poll_interval": "2",
    }
    assert found.read == {name: OURS[name] for name in environ}


@pytest.mark.parametrize(
    ("environ", "url"),
    [
        ({"COMFYUI_API_URL": "http://gpu", "COMFYUI_API_PORT": "8188"}, "http://gpu:8188"),
        ({"COMFYUI_API_URL": "gpu", "COMFYUI_API_PORT": "8188"}, "http://gpu:8188"),
        ({"COMFYUI_API_URL": "http://gpu:1/x", "COMFYUI_API_PORT": "8188"}, "http://gpu:1/x"),
        ({"COMFYUI_API_URL": "https://gpu.example.com"}, "https://gpu.example.com"),
        ({"COMFYUI_API_PORT": "8188"}, "http://127.0.0.1:8188"),
        ({"COMFYUI_URL": "http://one", "COMFYUI_URLS": "http://a,http://b"}, "http://a,http://b"),
    ],
)
def test_an_address_and_its_port_may_be_two_old_variables(environ: dict[str, str], url: str) -> None:
    assert translate(environ).values == {"comfyui_urls": url}


@pytest.mark.parametrize(
    ("text", "seconds"), [("300", "300"), ("9999", "9999"), ("10000", "10.0"), ("300s", "300s")]
)
def test_an_old_timeout_of_ten_thousand_or_more_is_in_milliseconds(text: str, seconds: str) -> None:
    assert translate({"COMFYUI_TIMEOUT": text}).values == {"run_timeout": seconds}


def test_our_names_win_over_old_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COMFYUI_URLS", "http://old")
    monkeypatch.setenv("ATELIER_COMFYUI_URLS", "http://new")

    assert load().comfyui_urls == ("http://new",)
    assert not notices({"COMFYUI_URLS": "http://old", "ATELIER_COMFYUI_URLS": "http://new"})


def test_old_names_are_told_in_one_line_that_names_ours() -> None:
    told = notices({"COMFYUI_URL": "http://a", "COMFYUI_API_KEY": "k"})

    assert told == [
        "COMFYUI_URL is read as ATELIER_COMFYUI_URLS, COMFYUI_API_KEY is read as ATELIER_COMFYUI_TOKEN"
    ]


def test_a_name_that_means_nothing_is_told_with_the_nearest_one() -> None:
    assert notices({"ATELIER_PROT": "1"}) == ["ATELIER_PROT is not a setting: did you mean ATELIER_PORT?"]


def test_secrets_do_not_show_when_settings_are_printed() -> None:
    settings = load(
        comfyui_token="s3cret",
        key_pepper="s3cret",
        link_secret="s3cret",
        s3_secret_access_key="s3cret",
        database_url="postgresql://me:s3cret@host/db",
        comfyui_headers='{"http://a": {"X-Key": "s3cret"}}',
    )

    assert "s3cret" not in repr(settings)


def test_a_server_gets_the_common_token_and_its_own_headers() -> None:
    settings = load(
        comfyui_token="common", comfyui_headers='{"http://a:1/": {"X-Key": "k"}, "b": {"Authorization": "own"}}'
    )

    assert settings.headers_for("http://a:1", "a-1") == {"Authorization": "Bearer common", "X-Key": "k"}
    assert settings.headers_for("http://b:1", "b") == {"Authorization": "own"}


def test_the_environment_is_read_in_one_module_only() -> None:
    package = Path(all_settings.__file__).parent.parent
    reading = [file.name for file in package.rglob("*.py") if "os.environ" in file.read_text()]

    assert reading == ["settings.py"]


def test_every_setting_changes_something() -> None:
    package = Path(all_settings.__file__).parent.parent
    code = "\n".join(file.read_text() for file in package.rglob("*.py") if file.name != "settings.py")

    idle = [name for name in Settings.model_fields if f"settings.{name}" not in code]

    assert idle == ["comfyui_token", "comfyui_headers"], "these two are read through headers_for"


def test_a_program_that_we_start_gets_none_of_our_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    secrets = (
        "KEY_PEPPER",
        "LINK_SECRET",
        "DATABASE_URL",
        "COMFYUI_TOKEN",
        "COMFYUI_HEADERS",
        "S3_SECRET_ACCESS_KEY",
    )
    for name in secrets:
        monkeypatch.setenv(f"ATELIER_{name}", "hush")
    monkeypatch.setenv("COMFYUI_SERVICE_TOKEN", "hush")
    monkeypatch.setenv("ATELIER_LOG_LEVEL", "warning")

    given = child_environment(COMFY_API_KEY="its own")

    assert "hush" not in given.values()
    assert (given["ATELIER_LOG_LEVEL"], given["COMFY_API_KEY"]) == ("warning", "its own")
