"""The job's state machine, checked: two connections, stopped between every two statements, in every order.

Two explorations share one judge (support/model.py). Duels take two acts and try every order with at most two
changes of turn; most known races need no more. Scenarios let hypothesis choose acts, turns, deaths and lapses of
time, and shrink what breaks. That the judge sees faults is shown by statements that are broken on their way to the
server: each must be found.
"""

import random
from collections.abc import AsyncGenerator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from atelier.jobs.model import Limits
from support.acts import LIMITED, UNLIMITED
from support.interleaving import Tape
from support.world import Order, World, world_on
from support.yard import Yard

MANY = 12
"""No act takes more steps than this."""

# What meets in a duel, with the decisions left to its tape: about the first job, the claim on it and the
# dispatcher that holds it, where nothing else is said.
ACTS = {
    "submit": ("submit", b"\1"),
    "claim": ("feed", b""),
    "claim elsewhere": ("feed", b"\1"),
    "claim another elsewhere": ("feed", b"\1\1"),
    "claim the overdue": ("feed", b"\0\1"),
    "renew": ("beat", b"\0\2"),
    "take over": ("take over", b""),
    "leave": ("give back", b"\0\1"),
    "running": ("running", b""),
    "succeed": ("succeed", b"\1"),
    "fail": ("fail", b""),
    "lose": ("lose", b"\0\1"),
    "withdraw": ("withdraw", b""),
    "cancel": ("cancel", b""),
    "cancel what waits": ("cancel", b"\2"),
    "cancel the overdue": ("cancel", b"\3"),
    "submit a prompt": ("submit", b"\1\0\0\2"),
    "drop all": ("drop", b""),
    "drop what waits": ("drop", b"\1\2"),
    "drop the claimed": ("drop", b"\1"),
    "interrupt": ("interrupt", b""),
    "interrupt one": ("interrupt", b"\1"),
    "expire": ("expire", b""),
}

DUELS = [
    ("submit", "submit"),
    ("claim", "claim elsewhere"),
    ("claim", "claim another elsewhere"),
    ("claim", "take over"),
    ("claim", "leave"),
    ("claim", "cancel what waits"),
    ("claim the overdue", "expire"),
    ("renew", "take over"),
    ("leave", "take over"),
    ("running", "take over"),
    ("succeed", "take over"),
    ("lose", "take over"),
    ("cancel", "take over"),
    ("running", "cancel"),
    ("running", "lose"),
    ("running", "succeed"),
    ("succeed", "succeed"),
    ("succeed", "cancel"),
    ("succeed", "lose"),
    ("succeed", "fail"),
    ("lose", "lose"),
    ("lose", "cancel"),
    ("withdraw", "cancel"),
    ("cancel", "cancel"),
    ("cancel the overdue", "expire"),
    ("expire", "expire"),
    ("submit a prompt", "submit a prompt"),
    ("drop all", "claim"),
    ("drop all", "drop all"),
    ("drop all", "expire"),
    ("drop what waits", "claim"),
    ("drop the claimed", "running"),
    ("drop the claimed", "withdraw"),
    ("interrupt", "running"),
    ("interrupt", "succeed"),
    ("interrupt one", "lose"),
    ("interrupt", "take over"),
]

OPEN = "AND state <> 'ended' FOR UPDATE"

# What is broken, in which duel it must be found, and how the statement is broken.
FAULTS = {
    "a claim that does not lock the lease": (
        ("claim", "take over"),
        {"ORDER BY l.server_id FOR SHARE": "ORDER BY l.server_id"},
    ),
    "a claim of what does not wait any more": (
        ("claim", "cancel what waits"),
        {"j.state = 'queued' AND j.attempt = w.number - 1": "j.attempt = w.number - 1"},
    ),
    "a claim that does not advance the share": (
        ("claim", "claim another elsewhere"),
        {"+ (excluded.virtual_time - excluded.started)": ""},
    ),
    "a claim that charges from what it read before": (
        ("claim", "claim another elsewhere"),
        {
            "virtual_time = greatest(shares.virtual_time, excluded.started)": (
                "virtual_time = greatest((SELECT s.virtual_time FROM shares s WHERE s.priority = excluded.priority"
                " AND s.account_id = excluded.account_id AND s.end_user = excluded.end_user), excluded.started)"
            )
        },
    ),
    "a running limit that is not counted under the lock": (
        ("claim", "claim another elsewhere"),
        {"SELECT pg_advisory_xact_lock(kind, who)": "SELECT kind, who"},
    ),
    "an end without fence": (
        ("lose", "take over"),
        {f"number = %s AND fence = %s {OPEN}": f"number = %s AND 0 < %s {OPEN}"},
    ),
    "a success without fence": (
        ("succeed", "take over"),
        {"fence = %(fence)s AND attempts.state <> 'ended'": "attempts.state <> 'ended'"},
    ),
    "a beginning without fence": (
        ("running", "take over"),
        {"fence = %(fence)s AND attempts.state = 'claimed'": "attempts.state = 'claimed'"},
    ),
    "a success that does not ask whether the job is canceled": (
        ("succeed", "cancel"),
        {"AND state IN ('claimed', 'running') FOR UPDATE": "FOR UPDATE"},
    ),
    "a success that locks the attempt before the job": (
        ("succeed", "lose"),
        {"AND state IN ('claimed', 'running') FOR UPDATE": "AND state IN ('claimed', 'running')"},
    ),
    "an end that does not lock its job": (
        ("lose", "cancel"),
        {"FROM jobs WHERE id = %s FOR UPDATE": "FROM jobs WHERE id = %s"},
    ),
    "an end that keeps the hold": (
        ("cancel the overdue", "expire"),
        {"SET state = 'released', settled_at = now() FROM job": "SET settled_at = now() FROM job"},
    ),
    "a try that leaves a hole in the log": (
        ("lose", "cancel"),
        {"event_seq = event_seq + %(events)s": "event_seq = event_seq + 2 * %(events)s"},
    ),
    "an expiry that does not lock what it ends": (
        ("claim the overdue", "expire"),
        {"LIMIT %s\nFOR UPDATE SKIP LOCKED": "LIMIT %s"},
    ),
    "a take-over that leaves the attempts behind": (
        ("running", "take over"),
        {"UPDATE attempts a SET fence = l.fence": "UPDATE attempts a SET fence = a.fence"},
    ),
    "a take-over under the old fence": (
        ("running", "take over"),
        {"fence = l.fence + 1": "fence = l.fence"},
    ),
    "a take-over that locks attempts before jobs": (
        ("lose", "take over"),
        {"ORDER BY id FOR UPDATE": "ORDER BY id"},
    ),
    "a take-over from a holder that renews at this moment": (
        ("renew", "take over"),
        {"AND expires_at < clock_timestamp()\n    FOR UPDATE SKIP LOCKED": "AND expires_at < clock_timestamp()"},
    ),
    "a loss that is not counted": (
        ("running", "take over"),
        {"dispatcher_losses = dispatcher_losses + 1": "dispatcher_losses = dispatcher_losses"},
    ),
}


@pytest.fixture
async def url(yard: Yard, database_url: str) -> str:
    await yard.keep(b"picture")
    return database_url


@pytest.fixture
async def world(url: str) -> AsyncGenerator[World]:
    async with world_on(url) as made:
        yield made


async def fight(world: World, first: str, second: str, limits: Limits = UNLIMITED) -> None:
    """Every order of two acts with at most two changes of turn."""
    for lead in (0, 1):
        for before in range(MANY):
            steps = (0, 0)
            for between in range(1, MANY):
                steps = await world.duel((ACTS[first], ACTS[second]), Order(lead, before, between), limits)
                if between >= steps[1 - lead]:
                    break
            if before >= steps[lead]:
                break


@pytest.mark.parametrize(("first", "second"), DUELS, ids=[f"{first} meets {second}" for first, second in DUELS])
async def test_every_promise_holds_when(world: World, first: str, second: str) -> None:
    await fight(world, first, second)


@pytest.mark.parametrize("limits", [LIMITED, Limits(in_all=3)], ids=["of the account", "of the fleet"])
async def test_a_running_limit_holds_when_two_claim(world: World, limits: Limits) -> None:
    await fight(world, "claim", "claim another elsewhere", limits)


@pytest.mark.parametrize("name", FAULTS)
async def test_the_checker_sees(url: str, name: str) -> None:
    (first, second), broken = FAULTS[name]
    async with world_on(url, broken) as world:
        with pytest.raises(AssertionError):
            await fight(world, first, second, LIMITED if "limit" in name else UNLIMITED)

        assert sum(lane.broken_used for lane in world.lanes) > 0


@settings(
    max_examples=100,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(decisions=st.binary(min_size=120, max_size=240))
async def test_every_promise_holds_whatever_happens(url: str, decisions: bytes) -> None:
    async with world_on(url) as world:
        await world.run(Tape(decisions))


async def test_scenarios_contain_what_makes_them_worth_while(world: World) -> None:
    """Processes died, statements waited for locks, late steps were refused."""
    for seed in range(8):
        await world.run(Tape(random.Random(seed).randbytes(240)))  # noqa: S311 - repeatable on purpose

    assert world.kills > 0
    assert world.waits > 0
    assert world.refusals > 0
