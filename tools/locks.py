"""`./run lock`: the locks name packages, versions and hashes, and never the place that they were found at."""

import sys
from collections.abc import Sequence

from tools.environment import ROOT
from tools.terminal import Failed, Stop, Words, run_showing, say

UV = "uv>=0.9,<1"
COMPILE = (
    "--universal",
    "--python-version",
    "3.11",
    "--generate-hashes",
    "--no-emit-index-url",
    "--no-header",
    "-q",
)
PROJECT = ROOT / "pyproject.toml"
CLIENTS = ROOT / "requirements" / "clients.in"
WHAT: dict[str, Words] = {
    "run": [PROJECT, "--extra", "demo", "--group", "build"],
    "test": [PROJECT, "--extra", "demo", "--extra", "editor", "--group", "build", "--group", "test"],
    "clients": [CLIENTS],
}
"""`clients` are other people's programs that the tests run as they are, in an environment of their own."""


def lock(arguments: Sequence[str]) -> int:
    """Write requirements/*.txt from pyproject.toml and clients.in; `--upgrade` takes the newest they allow."""
    folder = ROOT / ".venv-lock"
    try:
        if not (folder / "bin" / "uv").exists():
            run_showing(f"Making {folder}", [sys.executable, "-m", "venv", "--clear", folder])
            run_showing("Installing uv", [folder / "bin" / "python", "-m", "pip", "install", "-q", UV])
        for name, wanted in WHAT.items():
            output = ROOT / "requirements" / f"{name}.txt"
            compile_to: Words = [folder / "bin" / "uv", "pip", "compile", *wanted, *COMPILE]
            run_showing(f"Resolving {name}", [*compile_to, "-o", output, *arguments])
            if "://" in output.read_text():
                raise Stop(f"{output} names an address: a lock says name, version and hash only")
            say(f"wrote {output.relative_to(ROOT)}")
    except Failed as failed:
        raise Stop(f"the locks could not be made: {failed.said}") from failed
    return 0
