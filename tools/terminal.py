"""Whoever waits longer than a second sees why; whatever goes wrong is one sentence with its cure."""

import contextlib
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Generator, Mapping
from pathlib import Path
from typing import Self

SILENT_FOR = 1.0
PLAIN_EVERY = 10.0
STOP_SECONDS = 5.0

Words = list[str | Path]
"""A program and its arguments."""


class Stop(Exception):  # noqa: N818 - it stops, it does not err
    """Nothing more can be done; the message is for the person at the terminal."""

    def __init__(self, sentence: str, code: int = 1) -> None:
        super().__init__(sentence)
        self.code = code


class Failed(Exception):  # noqa: N818 - a program ended badly, which its caller explains
    """A program ended with an error. `said` is its last lines."""

    def __init__(self, said: str) -> None:
        super().__init__(said)
        self.said = said


def say(sentence: str) -> None:
    """Standard output belongs to the programs that are started; we speak on standard error."""
    sys.stderr.write(f"{sentence}\n")
    sys.stderr.flush()


def run_showing(what: str, command: Words, *, count: str = "", of: int = 0, then: str = "") -> None:
    """Run a program quietly under one moving line. Raises Failed with the program's last words.

    Lines that begin with `count` are counted towards `of`, until one begins with `then`: all is fetched.
    """
    words: deque[str] = deque(maxlen=40)
    done = [0]
    fetched = threading.Event()

    def listen() -> None:
        for line in process.stdout or ():
            words.append(line.rstrip())
            done[0] += bool(count) and line.startswith(count)
            if then and line.startswith(then):
                fetched.set()

    with subprocess.Popen(
        [str(word) for word in command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        listener = threading.Thread(target=listen, daemon=True)
        listener.start()
        with _Line(what) as line, _ending(process, listener):
            while listener.is_alive():
                listener.join(0.2)
                count_so_far = f": {min(done[0], of)} of up to {of} fetched" if of and done[0] else ""
                line.show(": all fetched, unpacking" if fetched.is_set() else count_so_far)
    if process.returncode:
        raise Failed("\n".join(words))


@contextlib.contextmanager
def _ending(process: subprocess.Popen[str], listener: threading.Thread) -> Generator[None]:
    """Whoever stops us stops the program as well, before its pipe is closed under the listener."""
    try:
        yield
    except BaseException:
        process.terminate()
        listener.join(STOP_SECONDS)
        raise


def run_plain(command: Words, *, cwd: Path, env: Mapping[str, str] | None = None) -> int:
    """Run a program with this terminal as its own."""
    return subprocess.run([str(word) for word in command], cwd=cwd, env=env, check=False).returncode


class _Line:
    """One line that moves on a terminal, and is repeated now and then where there is none."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._since = time.monotonic()
        self._moves = sys.stderr.isatty()
        self._next = SILENT_FOR
        self._shown = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._shown and self._moves:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()

    def show(self, how_far: str) -> None:
        waited = time.monotonic() - self._since
        if waited < self._next:
            return
        self._shown = True
        self._next = waited + (0.2 if self._moves else PLAIN_EVERY)
        sentence = f"{self._what}{how_far} ({waited:.0f} s)"
        sys.stderr.write(f"\r\x1b[K{sentence}" if self._moves else f"{sentence}\n")
        sys.stderr.flush()
