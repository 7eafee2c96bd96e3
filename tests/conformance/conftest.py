"""One installation for the whole folder, a client of each kind for every test, and a second account."""

from collections.abc import AsyncGenerator, Generator

import httpx
import pytest
from comfy_sdk import AsyncComfy, Comfy

from conformance.installation import Installation, throwaway


@pytest.fixture(scope="session")
def atelier() -> Generator[Installation]:
    with throwaway("conformance") as started:
        yield started


@pytest.fixture(scope="session")
def stranger_key(atelier: Installation) -> str:
    """A good key of another account."""
    return atelier.key_of("stranger")


@pytest.fixture
def comfy(atelier: Installation, monkeypatch: pytest.MonkeyPatch) -> Generator[Comfy]:
    """The official client as its users make it."""
    monkeypatch.setenv("COMFY_BASE_URL", atelier.url)
    with Comfy(api_key=atelier.key) as client:
        yield client


@pytest.fixture
def stranger(atelier: Installation, stranger_key: str, monkeypatch: pytest.MonkeyPatch) -> Generator[Comfy]:
    monkeypatch.setenv("COMFY_BASE_URL", atelier.url)
    with Comfy(api_key=stranger_key) as client:
        yield client


@pytest.fixture
async def async_comfy(atelier: Installation, monkeypatch: pytest.MonkeyPatch) -> AsyncGenerator[AsyncComfy]:
    monkeypatch.setenv("COMFY_BASE_URL", atelier.url)
    async with AsyncComfy(api_key=atelier.key) as client:
        yield client


@pytest.fixture
def http(atelier: Installation) -> Generator[httpx.Client]:
    """What an SDK does not do: any request, with a good key."""
    with httpx.Client(base_url=atelier.url, headers={"Authorization": f"Bearer {atelier.key}"}) as client:
        yield client
