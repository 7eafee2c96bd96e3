"""A job's place in the queue is true, quick to ask, and capped; one snapshot serves everybody for a second."""

import asyncio
from collections.abc import Iterator
from typing import cast

import pytest

from atelier.fleet.inventory import Inventory
from atelier.fleet.scene import Limits
from atelier.fleet.view import FleetView
from atelier.jobs.model import Job, JobState
from atelier.jobs.outlook import Outlook, Prospect
from atelier.jobs.store import prospects, sweep
from atelier.jobs.survey import ROWS, Surveyor
from atelier.kit.database import Tx
from atelier.kit.ids import AccountId, JobId, new_uuid
from atelier.kit.wakeups import Wakeups
from support.site import Site
from support.yard import Yard

NO_DATABASE = cast("Tx", None)


@pytest.fixture
def site(yard: Yard) -> Site:
    return Site(yard)


async def of(yard: Yard, outlook: Outlook, job: Job) -> Prospect:
    async with yard.database.autocommit() as tx:
        return await outlook.of(tx, job)


async def place(yard: Yard, outlook: Outlook, job: Job) -> int | None:
    """Whichever way it is asked for."""
    position = (await of(yard, outlook, job)).position
    async with yard.database.autocommit() as tx:
        assert await outlook.position(tx, job) == position
    return position


async def test_the_place_in_the_queue_follows_class_then_age(yard: Yard) -> None:
    old, young, urgent = await yard.submit(), await yard.submit(), await yard.submit(priority=9)

    outlook = Outlook()

    assert [await place(yard, outlook, job) for job in (urgent, old, young)] == [0, 1, 2]


async def test_the_place_in_the_queue_is_by_fair_share_and_not_by_age(yard: Yard) -> None:
    greedy = [await yard.submit() for _ in range(3)]
    modest = await yard.submit(account_id=AccountId(new_uuid()))

    outlook = Outlook()

    assert [await place(yard, outlook, job) for job in (*greedy, modest)] == [0, 2, 3, 1]


async def test_inside_an_account_the_lowest_number_is_next_and_others_keep_their_places(yard: Yard) -> None:
    other = AccountId(new_uuid())
    old, theirs = await yard.submit(), await yard.submit(account_id=other)
    front, last = await yard.submit(front=True), await yard.submit(number=1e9)
    behind = await yard.submit(account_id=other)

    outlook = Outlook()

    assert [await place(yard, outlook, job) for job in (front, theirs, old, behind, last)] == [0, 1, 2, 3, 4]


async def test_whoever_was_given_much_already_is_behind_who_was_given_little(site: Site, yard: Yard) -> None:
    await site.server("gpu-1")
    other = AccountId(new_uuid())
    for account in (yard.account_id, other):
        await yard.run(
            "INSERT INTO shares (priority, account_id, end_user, virtual_time, started) VALUES (5, %s, '', %s, 0)",
            account,
            50.0 if account == other else 100.0,
        )

    mine, theirs = await yard.submit(), await yard.submit(account_id=other)

    assert [await place(yard, Outlook(), job) for job in (mine, theirs)] == [1, 0]


async def test_a_place_is_capped(yard: Yard) -> None:
    jobs = [await yard.submit() for _ in range(4)]

    assert [await place(yard, Outlook(cap=2), job) for job in jobs] == [0, 1, 2, 2]


@pytest.mark.parametrize(("position", "words"), [(None, ""), (0, "0"), (999, "999"), (1000, "1000+")])
def test_people_read_a_capped_place_with_a_plus(position: int | None, words: str) -> None:
    assert Prospect(position, None, "").place == words


async def test_a_job_that_came_after_the_snapshot_stands_at_its_end(yard: Yard) -> None:
    outlook, first = Outlook(), await yard.submit()
    await place(yard, outlook, first)

    told = await of(yard, outlook, await yard.submit())

    assert told == Prospect(1, None, "waiting for a server")


async def test_only_what_waits_has_a_place(yard: Yard) -> None:
    me = await yard.dispatcher_with_server()
    claim = await yard.claimed(me)
    claimed = await yard.read(claim.job_id)
    await yard.running(claim)

    assert await place(yard, Outlook(), claimed) == 0
    assert await place(yard, Outlook(), await yard.read(claim.job_id)) is None


async def test_a_claim_that_the_snapshot_has_not_seen_is_next_on_some_server(yard: Yard) -> None:
    me = await yard.dispatcher_with_server()
    outlook = Outlook()
    await place(yard, outlook, await yard.submit())
    claim = await yard.claimed(me)

    assert await of(yard, outlook, await yard.read(claim.job_id)) == Prospect(0, None, "next on a server")


# One snapshot ---------------------------------------------------------------------------------------


async def test_within_a_second_nobody_asks_the_database_again(yard: Yard) -> None:
    outlook, jobs = Outlook(), [await yard.submit() for _ in range(3)]
    first = await of(yard, outlook, jobs[0])

    told = [await outlook.of(NO_DATABASE, job) for job in jobs]

    assert told[0] == first
    assert [one.position for one in told] == [0, 1, 2]


async def test_after_that_it_looks_anew(yard: Yard) -> None:
    outlook, first, second = Outlook(kept=0.0), await yard.submit(), await yard.submit()
    await place(yard, outlook, second)
    await yard.cancel(first.id)

    assert await place(yard, outlook, second) == 0


async def test_many_who_come_at_once_have_one_snapshot(yard: Yard) -> None:
    outlook, jobs = Outlook(), [await yard.submit() for _ in range(8)]

    async with asyncio.TaskGroup() as group:
        asked = [group.create_task(place(yard, outlook, job)) for job in jobs]

    assert [one.result() for one in asked] == list(range(8))


# Long queues ----------------------------------------------------------------------------------------


async def fill(yard: Yard, jobs: int, *, accounts: int = 1, after: int = 0) -> list[JobId]:
    """So many jobs at once, by turns of so many accounts, without the ceremony of accepting them."""
    rows = await yard.rows(
        """INSERT INTO jobs (id, account_id, dialect, graph_digest, requirement_id, shape, wait_until, keep_until)
           SELECT gen_random_uuid(), ('00000000-0000-0000-0000-' || lpad((%s + n %% %s)::text, 12, '0'))::uuid,
                  'test', ''::bytea, %s, 's', now() + interval '1 h', now() + interval '1 h'
           FROM generate_series(1, %s) AS n RETURNING id""",
        after,
        accounts,
        yard.requirement_id,
        jobs,
    )
    return [JobId(row[0]) for row in rows]


async def test_behind_a_thousand_all_places_are_one(yard: Yard) -> None:
    await fill(yard, 3 * ROWS)
    await yard.run("UPDATE jobs SET account_id = %s", yard.account_id)
    of_the_class, of_a_lower_one = await yard.submit(), await yard.submit(priority=1)

    told = await of(yard, Outlook(), of_the_class)

    assert told == Prospect(1000, None, "more than 1000 jobs are before it")
    assert (await of(yard, Outlook(), of_a_lower_one)).place == "1000+"


async def test_one_who_waits_with_much_leaves_the_places_of_many_with_little_true(yard: Yard) -> None:
    await fill(yard, 2 * ROWS)
    await fill(yard, 300, accounts=300, after=1)
    last = await yard.submit()

    assert await place(yard, Outlook(), last) in range(300, 304)


@pytest.mark.parametrize("accounts", [1, 40, 1500])
async def test_a_snapshot_reads_no_more_than_it_may_however_long_the_queue_is(yard: Yard, accounts: int) -> None:
    await fill(yard, 6 * ROWS, accounts=accounts)

    async with yard.database.autocommit() as tx:
        seen = await Surveyor(None, Limits()).scene(tx)

    assert ROWS * 0.8 <= len(seen.scene.waiting) <= 2 * ROWS
    assert not seen.complete


async def test_every_party_that_waits_is_met_in_the_order_of_classes(yard: Yard) -> None:
    for priority, end_user in ((1, "b"), (9, "a"), (9, ""), (5, "c")):
        await yard.submit(priority=priority, end_user=end_user)
    await yard.submit(priority=5, account_id=AccountId(new_uuid()))

    async with yard.database.autocommit() as tx:
        found = await prospects.standings(tx, 0)

    assert sorted((one.party.priority, one.party.end_user) for one in found) == [
        (1, "b"),
        (5, ""),
        (5, "c"),
        (9, ""),
        (9, "a"),
    ]


# Expiry ---------------------------------------------------------------------------------------------


async def test_a_job_that_expires_says_why_it_never_ran(site: Site, yard: Yard) -> None:
    await site.server("gpu-1", "other.pt")
    await site.server("gpu-2", "x.safetensors", drain=True)
    overdue = await site.submit("x.safetensors")
    await yard.run("UPDATE jobs SET created_at = now() - interval '24 h', wait_until = now() - interval '1 s'")

    async with yard.database.transaction() as tx:
        assert list(await sweep.expire(tx, why=Outlook().why)) == [overdue.id]

    ended = await yard.read(overdue.id)
    assert ended.state is JobState.EXPIRED
    assert ended.error is not None
    assert ended.error.message == (
        "It waited 24 h and was still waiting for a server with x.safetensors: gpu-2 is draining."
    )


async def test_why_is_known_also_of_jobs_that_are_behind_all_places(yard: Yard) -> None:
    await fill(yard, 3 * ROWS)
    last = await yard.submit(priority=1)

    async with yard.database.autocommit() as tx:
        reasons = await Outlook().why(tx, [last.id])

    assert reasons == {last.id: "waiting: no server is registered"}


class Unreadable(FleetView):
    """A fleet whose inventories nobody can read."""

    def inventories(self) -> Iterator[Inventory]:
        raise ValueError("unreadable")


async def test_a_place_that_cannot_be_foretold_is_no_error(site: Site, yard: Yard) -> None:
    await site.server("gpu-1")
    job = await yard.submit()
    outlook = Outlook(Unreadable(yard.database, Wakeups(yard.database)))

    async with yard.database.autocommit() as tx:
        assert await outlook.position(tx, job) is None
