"""Every verb of `./run`, each with the line that `./run help` prints and what it does."""

import os
import shutil
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tools import editor, locks, quality
from tools.environment import ROOT, prepared
from tools.terminal import Stop, run_plain, say

Do = Callable[[Sequence[str]], int]

CACHES = (".pytest_cache", ".mypy_cache", ".ruff_cache", ".hypothesis", ".import_linter_cache", "build", "dist")


@dataclass(frozen=True)
class Verb:
    line: str
    do: Do


def main(arguments: Sequence[str]) -> int:
    """The exit code of `./run ARGUMENTS`; 2 for a verb that does not exist."""
    name, *rest = arguments or ["help"]
    verb = VERBS.get({"-h": "help", "--help": "help"}.get(name, name))
    if verb is None:
        say(f"./run has no verb {name!r}: ./run help lists them")
        return 2
    try:
        return verb.do(rest)
    except Stop as stop:
        say(f"./run {name}: {stop}")
        return stop.code
    except KeyboardInterrupt:
        return 130


def show_help() -> int:
    sys.stdout.write("Atelier: the production service in front of a fleet of ComfyUI servers.\n\n")
    for name, verb in VERBS.items():
        sys.stdout.write(f"  ./run {name:<8} {verb.line}\n")
    sys.stdout.write(
        "\nATELIER_VENV=DIR puts the virtual environment elsewhere, ATELIER_PYTHON=FILE picks the Python.\n"
    )
    return 0


def command(*words: str) -> Do:
    """Become `atelier WORDS…`: signals and exit code are then its own."""

    def become(arguments: Sequence[str]) -> int:
        python = str(prepared("run").python)
        os.execv(python, [python, "-m", "atelier", *words, *arguments])  # noqa: S606 - no shell is wanted

    return become


def test(arguments: Sequence[str]) -> int:
    environment = prepared("test")
    if quality.check(environment):
        return 1
    return _pytest(environment.python, arguments)


def docs(arguments: Sequence[str]) -> int:
    pages = sorted(str(page.relative_to(ROOT)) for page in (ROOT / "docs").rglob("*.md"))
    code = _pytest(prepared("test").python, ["-q", "tests/docs", *arguments])
    say(f"{len(pages)} pages: {', '.join(pages)}")
    return code


def lock(arguments: Sequence[str]) -> int:
    _only(arguments, "--upgrade")
    return locks.lock(arguments)


def bench(arguments: Sequence[str]) -> int:
    python = prepared("test").python
    return run_plain([python, "-m", "tools.bench", *arguments], cwd=ROOT)


def converter_check(arguments: Sequence[str]) -> int:
    python = prepared("test").python
    return run_plain([python, "-m", "tools.converter", *arguments], cwd=ROOT)


def load(arguments: Sequence[str]) -> int:
    python = prepared("test").python
    return run_plain([python, "-m", "tools.load", *arguments], cwd=ROOT)


def chaos(arguments: Sequence[str]) -> int:
    """Become it: Ctrl-C is then its own, and it stops what it started before it ends."""
    python = str(prepared("test").python)
    os.chdir(ROOT)
    os.execv(python, [python, "-m", "tools.chaos", *arguments])  # noqa: S606 - no shell is wanted


def alone(do: Callable[[], int]) -> Do:
    """A verb that takes no further arguments says so, instead of doing something else than was meant."""

    def check_first(arguments: Sequence[str]) -> int:
        _only(arguments)
        return do()

    return check_first


def _only(arguments: Sequence[str], *known: str) -> None:
    odd = [word for word in arguments if word not in known]
    if odd:
        takes = f"takes only {', '.join(known)}" if known else "takes no arguments"
        raise Stop(f"what is {odd[0]!r}? It {takes}", 2)


def clean(arguments: Sequence[str]) -> int:
    _only(arguments, "--state")
    folders = [ROOT / name for name in (".venv", ".venv-lock", *CACHES)]
    folders += [ROOT / name for name in (".atelier", "out")] if "--state" in arguments else []
    folders += [Path(found) for found in ROOT.glob("[st]*/**/__pycache__")]
    for folder in folders:
        if folder.exists():
            shutil.rmtree(folder)
            say(f"removed {folder.relative_to(ROOT)}")
    return 0


def _pytest(python: Path, arguments: Sequence[str]) -> int:
    return run_plain([python, "-m", "pytest", *arguments], cwd=ROOT)


VERBS = {
    "demo": Verb(
        "a first picture: starts everything, runs one job, stays until Ctrl-C (--once: ends)", command("demo")
    ),
    "up": Verb(
        "starts everything on this machine (--json, --port, --simulate, --comfyui, --state, --key-file)",
        command("up"),
    ),
    "atelier": Verb("any other command of Atelier: ./run atelier --help", command()),
    "editor": Verb("adds ComfyUI's own web editor, which Atelier then serves at /comfy/", alone(editor.install)),
    "test": Verb("check, then all tests; further arguments go to pytest", test),
    "check": Verb("format, lint, types, import contracts", alone(lambda: quality.check(prepared("test")))),
    "format": Verb("mends format and lint where it can", alone(lambda: quality.format_code(prepared("test")))),
    "bench": Verb("measures against a server asked directly, prints a table, writes JSON", bench),
    "converter-check": Verb("compares the converter with the editor in Chromium (--keep)", converter_check),
    "load": Verb("many users at once, with faults before the servers (--users, --minutes, --seed, --json)", load),
    "chaos": Verb(
        "kills and breaks everything at random, checks every promise (--jobs, --minutes, --seed)", chaos
    ),
    "docs": Verb("checks the documentation: links, settings, verbs", docs),
    "lock": Verb("writes the requirement locks anew (--upgrade: newest versions)", lock),
    "clean": Verb("removes environment and caches (--state: jobs, keys and pictures too)", clean),
    "help": Verb("this list", alone(show_help)),
}
