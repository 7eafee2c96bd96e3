"""`./run editor`: who wants ComfyUI's own editor gets the version that the tests ran with, whole or not at all."""

import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

from tools.environment import ROOT, about_pip, prepared
from tools.terminal import Failed, Stop, Words, run_showing, say

PACKAGE = "comfyui-frontend-package"
LOCK = ROOT / "requirements" / "test.txt"


def install() -> int:
    """Add the editor to the environment that `./run up` uses. Raises Stop with a sentence and its cure."""
    environment = prepared("run")
    pip: Words = [environment.python, "-m", "pip", "--disable-pip-version-check", "--no-input", "install"]
    with tempfile.TemporaryDirectory() as folder:
        wanted = Path(folder) / "editor.txt"
        wanted.write_text("\n".join(pinned(LOCK.read_text().splitlines())))
        try:
            run_showing("Installing the editor (30 MB)", [*pip, "--no-deps", "--require-hashes", "-r", wanted])
        except Failed as failed:
            raise Stop(about_pip(environment, failed.said)) from failed
    say("installed: start Atelier (again), and open /comfy/ at its address")
    return 0


def pinned(lock: Iterable[str]) -> Iterator[str]:
    """The lines of a lock that name the editor: its version, and its hashes, each in a line of its own."""
    inside = False
    for line in lock:
        inside = line.startswith((f"{PACKAGE}==", "    --hash=")) if inside else line.startswith(f"{PACKAGE}==")
        if inside:
            yield line
