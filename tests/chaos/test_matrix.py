"""The kill matrix in small: sixty jobs, short leases, everything killed and broken by the seed's chances."""

import shutil
from collections.abc import Generator
from pathlib import Path

import pytest

from tools.chaos.judging import judged
from tools.chaos.plan import small
from tools.chaos.running import run
from tools.chaos.site import new_folder

SEED = 7


@pytest.fixture
def folder() -> Generator[Path]:
    made = new_folder()
    try:
        yield made
    finally:
        shutil.rmtree(made)


@pytest.mark.timeout(240)
async def test_every_promise_holds_whatever_is_killed_or_broken(folder: Path) -> None:
    found = await run(small(SEED), folder, lambda _: None)

    broken = [f"{promise.words}: {words}" for promise in judged(found) for words in promise.broken]
    assert not broken, "\n".join(broken[:20])
    assert len({deed.kind for deed in found.deeds if deed.target}) >= 10, "hardly anything was done"
