"""What the tests need of Debian is installed where that may be done unasked: as root, for `./run test` only."""

import os
import shutil
import sys

from tools.terminal import Failed, run_showing, say


def installed(*packages: str) -> bool:
    """Whether apt brought these packages; False where this is no Debian, or not ours to change."""
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        return False
    say(f"Installing {' '.join(packages)} with apt-get")
    try:
        run_showing("Asking for package lists", ["apt-get", "update", "-qq"])
        run_showing("Installing", ["apt-get", "install", "-qq", "--no-install-recommends", *packages])
    except Failed as failed:
        say(f"apt-get could not: {failed.said.splitlines()[-1:]}")
        return False
    return True


def venv_package() -> str:
    return f"python3.{sys.version_info[1]}-venv"
