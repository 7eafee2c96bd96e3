"""One installation and one browser for the whole folder; each person has a window of their own."""

import os
from collections.abc import Generator
from pathlib import Path
from typing import Never

import pytest
from playwright.sync_api import Browser, sync_playwright

from browser.editor import Editor
from conformance.installation import Installation, throwaway
from tools import debian

CHROMIUM = Path("/usr/bin/chromium")


@pytest.fixture(scope="session")
def atelier() -> Generator[Installation]:
    with throwaway("browser") as started:
        yield started


@pytest.fixture(scope="module")
def chromium() -> Generator[Browser]:
    """Debian's, without its sandbox: root may not have one.

    While it is there, this thread's event loop is Playwright's: no other test can have one.
    """
    if not CHROMIUM.exists() and not (_is_ci() and debian.installed("chromium")):
        _cannot("there is no /usr/bin/chromium: apt install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM, chromium_sandbox=False, args=["--disable-gpu"]
        )
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def people(chromium: Browser, atelier: Installation) -> Generator["People"]:
    made = People(chromium, atelier)
    yield made
    made.leave()


@pytest.fixture
def person(people: "People") -> Editor:
    """Somebody who signed in; what was seen before is forgotten."""
    return people.signed_in("painter")


@pytest.fixture
def stranger(people: "People") -> Editor:
    """Somebody else."""
    return people.signed_in("stranger")


class People:
    """Each has an account and one window, which stays open: to draw the editor anew takes seconds."""

    def __init__(self, chromium: Browser, atelier: Installation) -> None:
        self._chromium = chromium
        self._atelier = atelier
        self._editors: dict[str, Editor] = {}

    def signed_in(self, name: str) -> Editor:
        if name not in self._editors:
            self._editors[name] = self.window()
            self._editors[name].sign_in(self._atelier.key_of(name))
        self._editors[name].forget()
        return self._editors[name]

    def window(self) -> Editor:
        """That nobody has used yet."""
        window = self._chromium.new_context(viewport={"width": 1400, "height": 900})
        return Editor(window, self._atelier.url)

    def leave(self) -> None:
        for editor in self._editors.values():
            editor.page.context.close()


def _is_ci() -> bool:
    return os.environ.get("CI") == "true"  # noqa: TID251 - where nothing may be skipped silently


def _cannot(sentence: str) -> Never:
    if _is_ci():
        pytest.fail(f"The editor could not be tried in a browser: {sentence}", pytrace=False)
    pytest.skip(f"the editor could not be tried in a browser: {sentence}")
