"""`./run`: what it says on machines that are not ready for it."""

import asyncio
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil  # type: ignore[import-untyped]  # it ships no stubs
import pytest

from support.terminal import Ended
from tools import debian, editor, environment
from tools.environment import Environment
from tools.terminal import Failed, Stop, run_showing
from tools.verbs import VERBS

ROOT = Path(__file__).resolve().parents[2]


def _run(*arguments: str, **environ: str) -> Ended:
    kept = dict(os.environ)  # noqa: TID251 - programs are started with what this one has
    done = subprocess.run(
        [str(ROOT / "run"), *arguments],
        env=kept | environ,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    return Ended(done.returncode, done.stdout, done.stderr)


def _program(folder: Path, name: str, script: str) -> Path:
    folder.mkdir(exist_ok=True)
    file = folder / name
    file.write_text(f"#!/bin/sh\n{script}\n")
    file.chmod(0o755)
    return file


def _tools(folder: Path, *names: str) -> Path:
    """A folder for PATH with nothing but these programs of the system."""
    folder.mkdir()
    for name in names:
        found = subprocess.run(["/bin/sh", "-c", f"command -v {name}"], capture_output=True, text=True, check=True)
        (folder / name).symlink_to(found.stdout.strip())
    return folder


def test_help_lists_every_verb_with_a_line() -> None:
    ended = _run("help")

    assert ended.code == 0
    for name, verb in VERBS.items():
        assert f"./run {name} " in ended.out
        assert verb.line in ended.out


def test_an_unknown_verb_is_one_sentence() -> None:
    ended = _run("fly")

    assert (ended.code, ended.out, ended.err) == (2, "", "./run has no verb 'fly': ./run help lists them\n")


@pytest.mark.parametrize("arguments", [("check", "--fast"), ("clean", "--all"), ("lock", "--all"), ("help", "up")])
def test_a_verb_says_what_it_does_not_know_and_does_nothing(arguments: tuple[str, ...]) -> None:
    ended = _run(*arguments)

    assert (ended.code, ended.out, ended.err.count("\n")) == (2, "", 1)
    assert repr(arguments[1]) in ended.err


def test_the_editor_is_the_one_that_the_tests_ran_with() -> None:
    version, *hashes = editor.pinned(editor.LOCK.read_text().splitlines())

    assert version.startswith("comfyui-frontend-package==")
    assert hashes
    assert all(line.strip().startswith("--hash=sha256:") for line in hashes)


def test_an_old_python_is_one_sentence_with_the_cure(tmp_path: Path) -> None:
    path = _tools(tmp_path / "bin", "dirname", "sh")
    _program(path, "python3", "case $2 in *version_info\\[:2\\]*) echo 3.8 ;; *) exit 1 ;; esac")

    ended = _run("demo", PATH=str(path))

    assert (ended.code, ended.out, ended.err.count("\n")) == (1, "", 1)
    assert "Atelier needs Python 3.11 or newer: python3 is 3.8" in ended.err
    assert "install one" in ended.err


def test_no_python_at_all_is_one_sentence_with_the_cure(tmp_path: Path) -> None:
    path = _tools(tmp_path / "bin", "dirname", "sh")

    ended = _run("demo", PATH=str(path))

    assert (ended.code, ended.err.count("\n")) == (1, 1)
    assert "there is none on the PATH" in ended.err


def test_a_newer_python_further_down_is_found(tmp_path: Path) -> None:
    path = _tools(tmp_path / "bin", "dirname", "sh")
    _program(path, "python3", "case $2 in *version_info\\[:2\\]*) echo 3.9 ;; *) exit 1 ;; esac")
    _program(path, "python3.12", "exit 1")  # a shim of a version manager that has no such version
    (path / "python3.11").symlink_to(sys.executable)

    ended = _run("help", PATH=str(path))

    assert ended.code == 0
    assert "./run demo" in ended.out


def test_it_can_be_started_from_any_folder(tmp_path: Path) -> None:
    done = subprocess.run([str(ROOT / "run"), "help"], cwd=tmp_path, capture_output=True, check=False)

    assert done.returncode == 0


def test_ci_calls_exactly_the_test_verb() -> None:
    lines = (ROOT / ".ci" / "run").read_text().splitlines()

    assert re.search(r'/run" test( -n 2 --reruns 2 -raR)? "\$@"$', lines[-1])


def test_an_environment_without_its_stamp_is_not_used(tmp_path: Path) -> None:
    half = Environment(tmp_path, "run")
    half.python.parent.mkdir()
    half.python.touch()

    assert not environment.ready(half)


def test_an_environment_is_ready_only_for_the_lock_that_it_was_made_from(tmp_path: Path) -> None:
    made = Environment(tmp_path, "test")
    made.python.parent.mkdir()
    made.python.touch()

    environment.write_stamp(made)

    assert environment.ready(made)
    assert environment.ready(Environment(tmp_path, "run")), "the test lock contains the other one"
    made.stamp.write_text(made.stamp.read_text().replace('"test": "', '"test": "0'))
    assert not environment.ready(made)


def test_a_full_disk_is_told_before_anything_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ATELIER_VENV", str(tmp_path / "venv"))
    monkeypatch.setattr(environment, "ENOUGH_SPACE", {"run": 2**62})

    with pytest.raises(Stop, match="MB are needed: free some"):
        environment.prepared("run")

    assert list((tmp_path / "venv").iterdir()) == []


def test_a_folder_that_cannot_be_made_is_told_with_the_cure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("ATELIER_VENV", str(tmp_path / "file" / "venv"))

    with pytest.raises(Stop, match=r"could not be made|cannot be written"):
        environment.prepared("run")


@pytest.mark.parametrize(
    ("said", "sentence"),
    [
        ("NewConnectionError(...): Failed to establish a new connection", "HTTPS_PROXY"),
        ("Temporary failure in name resolution", "connect this machine"),
        ("OSError: [Errno 28] No space left on device", "is full: free some space"),
        ("ERROR: THESE PACKAGES DO NOT MATCH THE HASHES", "is not the one that the lock names"),
        ("noise\nERROR: No matching distribution found for x==1", "No matching distribution found for x==1"),
    ],
)
def test_what_pip_says_becomes_one_sentence_with_the_cure(tmp_path: Path, said: str, sentence: str) -> None:
    told = environment.about_pip(Environment(tmp_path, "run"), said)

    assert sentence in told
    assert "\n" not in told


def test_a_python_without_venv_is_told_the_package_to_install() -> None:
    assert f"apt install {debian.venv_package()}" in environment.VENV_MISSING


def test_a_program_that_fails_hands_over_its_last_words() -> None:
    with pytest.raises(Failed) as failed:
        run_showing("Trying", [sys.executable, "-c", "print('why'); raise SystemExit(3)"])

    assert failed.value.said == "why"


def test_a_program_ends_with_whoever_waits_for_it(tmp_path: Path) -> None:
    """Also where the tests themselves run in the background of a shell, which makes them ignore Ctrl-C."""
    sleeper = "import os, time; open('pid', 'w').write(str(os.getpid())); time.sleep(60)"
    heed = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"
    script = (
        f"{heed}\nimport sys; sys.path[0] = sys.argv[1]\nfrom tools.terminal import run_showing\n"
        f"run_showing('Waiting', [sys.executable, '-c', {sleeper!r}])"
    )
    waiting = subprocess.Popen(
        [sys.executable, "-c", script, str(ROOT)], cwd=tmp_path, stderr=subprocess.PIPE, text=True
    )
    pid = _when_written(tmp_path / "pid")

    waiting.send_signal(signal.SIGINT)
    _, said = waiting.communicate(timeout=60)

    assert "Exception in thread" not in said
    assert not psutil.pid_exists(pid)


def _when_written(file: Path) -> int:
    until = time.monotonic() + 60
    while not (file.exists() and file.read_text()):
        assert time.monotonic() < until
        time.sleep(0.02)
    return int(file.read_text())


async def test_racing_invocations_prepare_one_environment_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ATELIER_VENV", str(tmp_path / "venv"))
    filled: list[Environment] = []

    def fill(asked: Environment) -> None:
        filled.append(asked)
        asked.python.parent.mkdir()
        asked.python.touch()
        environment.write_stamp(asked)

    monkeypatch.setattr(environment, "fill", fill)

    await asyncio.gather(*(asyncio.to_thread(environment.prepared, "run") for _ in range(4)))

    assert len(filled) == 1


def test_locks_name_packages_versions_and_hashes_and_no_place() -> None:
    for file in (ROOT / "requirements").glob("*.txt"):
        text = file.read_text()
        pins = [line for line in text.splitlines() if line and not line.startswith((" ", "#"))]

        assert "://" not in text
        assert "--index" not in text
        assert all("==" in pin for pin in pins)
        assert text.count("--hash=sha256:") >= len(pins)
