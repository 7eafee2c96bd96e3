"""Jobs that would make the same, checked as the job's state machine is: in every order, with deaths anywhere.

At any moment at most one job of a key runs, whoever waits waits for somebody, and no answer is without files; at
the end everything has ended.
"""

from collections.abc import AsyncGenerator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from atelier.storage.model import Storage
from atelier.storage.opening import open_storage
from support.acts import UNLIMITED
from support.interleaving import Tape
from support.twin_world import twin_world_on
from support.world import Order, World
from support.yard import Yard

MANY = 20
"""No act takes more steps than this."""

ACTS = {
    "submit": ("submit", b"\0"),
    "submit in a higher class": ("submit", b"\0\0\1"),
    "succeed and settle": ("succeed and settle", b"\1"),
    "succeed without files": ("succeed and settle", b""),
    "fail": ("fail", b""),
    "fail and settle": ("fail and settle", b""),
    "cancel the twin": ("cancel", b"\2"),
    "cancel the overdue twin": ("cancel", b"\3"),
    "cancel and settle": ("cancel and settle", b"\0"),
    "lose and expire": ("lose and expire", b"\0\1\1"),
    "settle": ("settle", b""),
}

DUELS = [
    ("submit", "submit"),
    ("submit", "succeed and settle"),
    ("submit in a higher class", "fail and settle"),
    ("succeed and settle", "cancel the twin"),
    ("succeed and settle", "settle"),
    ("fail and settle", "settle"),
    ("fail and settle", "cancel the twin"),
    ("cancel and settle", "fail"),
    ("lose and expire", "cancel the overdue twin"),
]

# What is broken, in which duel it must be found, and how the statement is broken.
FAULTS = {
    "keys that nobody holds": (
        ("submit", "fail and settle"),
        {
            "ON CONFLICT (cache_key) DO UPDATE SET job_id = r.job_id\nRETURNING": (
                "ON CONFLICT (cache_key) DO UPDATE SET job_id = excluded.job_id\nRETURNING"
            )
        },
    ),
    "a twin that is queued after it was canceled": (
        ("fail and settle", "cancel the twin"),
        {
            "AND j.state = 'preparing'\nORDER BY j.id LIMIT %s FOR UPDATE": "\nORDER BY j.id LIMIT %s",
            "WHERE id = %s AND state = 'preparing'": "WHERE id = %s",
        },
    ),
    "files for a twin that was canceled": (
        ("succeed and settle", "cancel the twin"),
        {
            "WHERE j.state = 'preparing' ORDER BY j.id FOR UPDATE OF j": "ORDER BY j.id FOR UPDATE OF j",
            "AND j.state = 'preparing'\nORDER BY j.id LIMIT %s FOR UPDATE": "\nORDER BY j.id LIMIT %s",
        },
    ),
    "a leader that is not looked for": (
        ("submit", "submit"),
        {"FROM results WHERE cache_key = asked.key LIMIT 1": "FROM results WHERE false LIMIT 1"},
    ),
}


@pytest.fixture
def storage(tmp_path: Path) -> Storage:
    return open_storage(str(tmp_path / "files"))


@pytest.fixture
async def url(yard: Yard, database_url: str) -> str:
    await yard.keep(b"picture")
    return database_url


@pytest.fixture
async def world(url: str, storage: Storage) -> AsyncGenerator[World]:
    async with twin_world_on(url, storage) as made:
        yield made


async def fight(world: World, first: str, second: str) -> None:
    """At each point of one act a piece of the other comes between: one step, some, or all of it."""
    for lead in (0, 1):
        for before in range(MANY):
            steps = (0, 0)
            for between in (1, 4, MANY):
                steps = await world.duel((ACTS[first], ACTS[second]), Order(lead, before, between), UNLIMITED)
            if before >= steps[lead]:
                break


@pytest.mark.parametrize(("first", "second"), DUELS, ids=[f"{first} meets {second}" for first, second in DUELS])
async def test_twins_keep_every_promise_when(world: World, first: str, second: str) -> None:
    await fight(world, first, second)


@pytest.mark.parametrize("name", FAULTS)
async def test_the_checker_of_twins_sees(url: str, storage: Storage, name: str) -> None:
    (first, second), broken = FAULTS[name]
    async with twin_world_on(url, storage, broken) as world:
        with pytest.raises(AssertionError):
            await fight(world, first, second)

        assert sum(lane.broken_used for lane in world.lanes) > 0


@settings(
    max_examples=10,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(decisions=st.binary(min_size=80, max_size=160))
async def test_twins_keep_every_promise_whatever_happens(url: str, storage: Storage, decisions: bytes) -> None:
    async with twin_world_on(url, storage) as world:
        await world.run(Tape(decisions))
