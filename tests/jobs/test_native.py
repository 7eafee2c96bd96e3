"""Every job of an account is a prompt of the native API, in the order and with the ids that its clients know."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

import pytest
from psycopg.types.json import Jsonb

from atelier.jobs import native, service
from atelier.jobs.model import Claim, Job, JobState
from atelier.jobs.native import Entry
from atelier.jobs.prompt import Prompt, Report
from atelier.jobs.store import attempts
from atelier.kit.ids import AccountId, DispatcherId, JobId, new_uuid
from support.yard import Yard, kinds, made

T = TypeVar("T")
PROMPT = Prompt("me", {"extra_pnginfo": {"workflow": {"id": "w1"}}}, ("9",))
MALFORMED = ["", "x", "None", "../1", "\0", "0" * 400]


async def ask(yard: Yard, question: Callable[..., Awaitable[T]], *values: Any, **named: Any) -> T:
    async with yard.database.autocommit() as tx:
        return await question(tx, yard.account_id, *values, **named)


async def prompted(yard: Yard, **changes: Any) -> Job:
    return await yard.submit(**({"prompt": PROMPT} | changes))


async def ended(yard: Yard, me: DispatcherId, state: str = "succeeded", **changes: Any) -> Job:
    """A prompt that ran and ended so."""
    claim = await yard.claimed(me, running=True, **({"prompt": PROMPT} | changes))
    await end(yard, claim, state)
    return await yard.read(claim.job_id)


async def end(yard: Yard, claim: Claim, state: str) -> None:
    if state == "canceled":
        await yard.cancel(claim.job_id)
        async with yard.database.transaction() as tx:
            assert await service.finish_canceled(tx, claim)
    elif state == "failed":
        assert await yard.fail(claim)
    else:
        async with yard.database.autocommit() as tx:
            assert await attempts.succeed(tx, claim, [])


def ids(entries: Sequence[Entry]) -> list[str]:
    return [entry.prompt_id for entry in entries]


def named(*jobs: Job) -> list[str]:
    return [str(job.id) for job in jobs]


async def past(yard: Yard, max_items: int | None = None, offset: int | None = None, **named: Any) -> list[str]:
    return ids(await ask(yard, native.history, max_items=max_items, offset=offset, **named))


async def listed(yard: Yard, **asked: Any) -> tuple[list[str], int]:
    usual: dict[str, Any] = {
        "statuses": None,
        "by_duration": False,
        "ascending": False,
        "limit": None,
        "offset": 0,
        "workflow_id": None,
    }
    entries, total = await ask(yard, native.listing, **(usual | asked))
    return ids(entries), total


# Queue ---------------------------------------------------------------------------------------------


async def test_the_queue_shows_what_waits_in_the_order_in_which_it_will_run(yard: Yard) -> None:
    plain = await prompted(yard)
    urgent = await prompted(yard, priority=9)
    last = await prompted(yard, number=1e9)
    front = await prompted(yard, front=True)
    other_dialect = await yard.submit()
    newest_front = await prompted(yard, front=True)

    running, pending = await ask(yard, native.queue)

    assert running == []
    assert ids(pending) == named(urgent, newest_front, front, plain, other_dialect, last)
    assert [entry.number for entry in pending] == [
        urgent.position,
        -newest_front.position,
        -front.position,
        plain.position,
        other_dialect.position,
        1e9,
    ]
    assert all(isinstance(entry.number, int) for entry in pending[:-1])


async def test_an_explicit_number_is_given_back_as_it_was_also_with_front(yard: Yard) -> None:
    job = await prompted(yard, number=2.5, front=True)

    [entry] = (await ask(yard, native.queue))[1]

    assert (entry.number, entry.prompt_id) == (2.5, str(job.id))


async def test_what_a_server_holds_without_running_it_waits_before_all_others(yard: Yard) -> None:
    me = await yard.dispatcher_with_server()
    held, running = await yard.claimed(me, prompt=PROMPT), await yard.claimed(me, running=True, prompt=PROMPT)
    front = await prompted(yard, front=True)

    now = await ask(yard, native.queue)

    assert [ids(entries) for entries in now] == [[str(running.job_id)], [str(held.job_id), str(front.id)]]


async def test_a_job_that_is_being_interrupted_still_runs(yard: Yard) -> None:
    me = await yard.dispatcher_with_server()
    claim = await yard.claimed(me, running=True)
    await yard.cancel(claim.job_id)

    running, _ = await ask(yard, native.queue)

    assert ids(running) == [str(claim.job_id)]
    assert await ask(yard, native.remaining) == 1


async def test_jobs_of_all_end_users_of_the_account_stand_in_its_queue(yard: Yard) -> None:
    jobs = [await yard.submit(end_user=name) for name in ("zoe", "", "ann", "zoe")]
    front = await prompted(yard, end_user="zoe", front=True)

    _, pending = await ask(yard, native.queue)
    _, first = await ask(yard, native.queue, limit=2)

    assert ids(pending) == named(front, *jobs)
    assert ids(first) == named(front, jobs[0])


async def test_a_prompt_shows_its_graph_as_its_client_wrote_it(yard: Yard) -> None:
    text = '{"1":{"class_type":"LoadImage","inputs":{"image":{"__type":"core/ASSET"},"x":1}},"2":{"inputs":{}}}'
    shown = {"1": {"image": "me.png"}, "gone": {"image": "x"}}
    job = await prompted(yard, graph_text=text, graph_digest=b"g", prompt=Prompt("me", {"a": 1}, ("2",), shown))
    await yard.submit(graph_text=text, graph_digest=b"g")

    [entry, plain] = (await ask(yard, native.queue))[1]

    assert entry.graph == {
        "1": {"class_type": "LoadImage", "inputs": {"image": "me.png", "x": 1}},
        "2": {"inputs": {}},
    }
    assert entry.prompt == Prompt("me", {"a": 1}, ("2",), shown)
    assert (plain.prompt, plain.report) == (None, None)
    assert plain.graph is not None
    assert plain.graph["1"]["inputs"]["image"] == {"__type": "core/ASSET"}
    assert entry.job == await yard.read(job.id)


async def test_another_account_sees_counts_and_touches_nothing(yard: Yard) -> None:
    me = await yard.dispatcher_with_server()
    other = AccountId(new_uuid())
    waits = await yard.submit(account_id=other)
    runs = await yard.claimed(me, running=True, account_id=other)
    names = [str(waits.id), str(runs.job_id)]

    assert await ask(yard, native.remaining) == 0
    assert await ask(yard, native.queue) == ([], [])
    assert await ask(yard, native.live) == []
    assert await ask(yard, native.ended, [waits.id, runs.job_id]) == []
    assert await ask(yard, native.drop, None) == await ask(yard, native.drop, names) == []
    assert await ask(yard, native.interrupt, None) == await ask(yard, native.interrupt, names[1]) == []
    assert [await ask(yard, native.entry, name) for name in names] == [None, None]
    assert await ask(yard, native.outputs_at, waits.position) == []
    assert await listed(yard) == ([], 0)


# History -------------------------------------------------------------------------------------------


async def test_the_history_is_in_the_order_of_ending(yard: Yard) -> None:
    me = await yard.dispatcher_with_server()
    first, second = [await yard.claimed(me, running=True, prompt=PROMPT) for _ in range(2)]
    for claim in (second, first):
        await end(yard, claim, "succeeded")

    assert await past(yard) == [str(second.job_id), str(first.job_id)]


@pytest.mark.parametrize(
    ("max_items", "offset", "shown"),
    [
        (None, None, [0, 1, 2, 3]),
        (2, None, [2, 3]),
        (9, None, [0, 1, 2, 3]),
        (0, None, []),
        (-3, None, []),
        (2, -1, [2, 3]),
        (2, 0, [0, 1]),
        (2, 3, [3]),
        (None, 1, [1, 2, 3]),
        (0, 1, [1]),
        (5, 9, []),
        (None, 10**18, []),
        (10**18, None, [0, 1, 2, 3]),
    ],
)
async def test_a_page_of_the_history_is_what_a_server_would_show(
    yard: Yard, max_items: int | None, offset: int | None, shown: list[int]
) -> None:
    me = await yard.dispatcher_with_server()
    jobs = [await ended(yard, me) for _ in range(4)]

    assert await past(yard, max_items, offset) == named(*(jobs[place] for place in shown))


async def test_one_answer_has_the_newest_up_to_a_bound(yard: Yard) -> None:
    me = await yard.dispatcher_with_server()
    jobs = [await ended(yard, me) for _ in range(3)]

    assert await past(yard, cap=2) == named(*jobs[1:])
    assert await past(yard, 3, 0, cap=2) == named(*jobs[:2])


async def test_what_was_canceled_before_it_began_leaves_nothing_what_began_stays(yard: Yard) -> None:
    me = await yard.dispatcher_with_server()
    dropped = await prompted(yard)
    await yard.cancel(dropped.id)
    interrupted, failed = await ended(yard, me, "canceled"), await ended(yard, me, "failed")

    assert await past(yard) == named(interrupted, failed)
    assert not (await found(yard, str(dropped.id))).in_history
    assert (await found(yard, str(interrupted.id))).in_history
    assert (await found(yard, str(failed.id))).report is None


async def found(yard: Yard, prompt_id: str) -> Entry:
    entry = await ask(yard, native.entry, prompt_id)
    assert entry is not None
    return entry


async def test_a_report_is_shown_as_it_was_stored(yard: Yard) -> None:
    me = await yard.dispatcher_with_server()
    job = await ended(yard, me)
    await yard.run(
        "INSERT INTO native_reports (job_id, outputs, messages, meta) VALUES (%s, %s, %s, %s)",
        job.id,
        Jsonb({"9": {"text": ["a"]}}),
        Jsonb([["execution_start", {"t": 1}], ["execution_success", {}]]),
        Jsonb({"9": {"node_id": "9"}}),
    )
    told = Report(
        {"9": {"text": ["a"]}},
        (("execution_start", {"t": 1}), ("execution_success", {})),
        {"9": {"node_id": "9"}},
    )

    assert [entry.report for entry in await ask(yard, native.history, max_items=None, offset=None)] == [told]
    [entry] = await ask(yard, native.ended, [job.id])
    assert (entry.report, entry.graph, entry.in_history) == (told, None, True)


async def test_a_cleared_history_shows_only_what_ends_afterwards(yard: Yard) -> None:
    me = await yard.dispatcher_with_server()
    old, running = await ended(yard, me), await yard.claimed(me, running=True, prompt=PROMPT)

    await ask(yard, native.forget, None)
    await end(yard, running, "succeeded")

    assert await past(yard) == [str(running.job_id)]
    assert not (await found(yard, str(old.id))).in_history
    assert await listed(yard) == ([str(running.job_id)], 1)
    assert (await yard.read(old.id)).state is JobState.SUCCEEDED

    await ask(yard, native.forget, None)
    assert await past(yard) == []


async def test_clearing_an_empty_history_changes_nothing(yard: Yard) -> None:
    await ask(yard, native.forget, None)
    me = await yard.dispatcher_with_server()
    job = await ended(yard, me)

    assert await past(yard) == named(job)


async def test_deleted_prompts_leave_the_history_and_only_those_that_have_ended(yard: Yard) -> None:
    me = await yard.dispatcher_with_server()
    chosen = new_uuid()
    by_chosen_id, by_job_id = await ended(yard, me, native_prompt_id=chosen), await ended(yard, me)
    kept, running = await ended(yard, me), await yard.claimed(me, running=True)

    await ask(
        yard, native.forget, [str(chosen), str(by_job_id.id), str(running.job_id), str(new_uuid()), *MALFORMED]
    )
    await end(yard, running, "succeeded")

    assert await past(yard) == [str(kept.id), str(running.job_id)]
    assert (await yard.read(by_chosen_id.id)).state is JobState.SUCCEEDED


async def test_what_is_kept_of_a_prompt_goes_with_its_job(yard: Yard) -> None:
    me = await yard.dispatcher_with_server()
    job = await ended(yard, me)
    await yard.run("INSERT INTO native_reports (job_id) VALUES (%s)", job.id)

    await yard.run("DELETE FROM jobs")

    assert await yard.value("SELECT count(*) FROM native_prompts") == 0
    assert await yard.value("SELECT count(*) FROM native_reports") == 0


# One prompt ----------------------------------------------------------------------------------------


async def test_a_prompt_is_found_by_the_id_that_its_client_chose_and_by_its_job_s(yard: Yard) -> None:
    chosen = new_uuid()
    job = await prompted(yard, native_prompt_id=chosen)
    plain = await yard.submit()

    assert (await found(yard, str(chosen))).job.id == (await found(yard, str(job.id))).job.id == job.id
    assert (await found(yard, str(job.id))).prompt_id == str(chosen)
    assert (await found(yard, str(plain.id))).prompt_id == str(plain.id)


@pytest.mark.parametrize("prompt_id", [*MALFORMED, "0C9A6A9C-6F0C-4F3A-9D7B-3B1F5B2E7A11"])
async def test_a_malformed_id_is_an_unknown_one(yard: Yard, prompt_id: str) -> None:
    await prompted(yard)

    assert await ask(yard, native.entry, prompt_id) is None
    assert await ask(yard, native.drop, [prompt_id]) == []
    assert await ask(yard, native.interrupt, prompt_id) == []


async def bare(yard: Yard, job: Job) -> Entry:
    entry = await ask(yard, native.entry, str(job.id), graph=False)
    assert entry is not None
    return entry


async def test_a_graph_is_read_only_where_it_is_asked_for(yard: Yard) -> None:
    job = await prompted(yard)

    assert (await bare(yard, job)).graph is None
    assert (await found(yard, str(job.id))).graph == {}


async def test_files_are_found_by_the_position_in_their_names(yard: Yard) -> None:
    me = await yard.dispatcher_with_server()
    await yard.keep(b"one")
    claim = await yard.claimed(me, running=True)
    async with yard.database.autocommit() as tx:
        assert await attempts.succeed(tx, claim, [made(b"one")])
    job = await yard.read(claim.job_id)

    assert await ask(yard, native.outputs_at, job.position) == list(job.outputs)
    assert await ask(yard, native.outputs_at, job.position + 1) == []
    assert len(job.outputs) == 1


# The job API ---------------------------------------------------------------------------------------


async def test_a_listing_has_what_waits_runs_and_is_in_the_history_newest_first(yard: Yard) -> None:
    me = await yard.dispatcher_with_server()
    good, bad, stopped = [await ended(yard, me, state) for state in ("succeeded", "failed", "canceled")]
    running = await yard.claimed(me, running=True)
    front, waits = await prompted(yard, front=True), await yard.submit()
    dropped, forgotten = await yard.submit(), await ended(yard, me)
    await yard.cancel(dropped.id)
    await ask(yard, native.forget, [str(forgotten.id)])

    everything = [*named(waits, front), str(running.job_id), *named(stopped, bad, good)]
    assert await listed(yard) == (everything, 6)
    assert await listed(yard, ascending=True) == (everything[::-1], 6)
    assert await listed(yard, limit=2, offset=1) == (everything[1:3], 6)
    assert await listed(yard, offset=99) == await listed(yard, offset=10**30) == ([], 6)
    assert await listed(yard, statuses=frozenset({"pending"})) == (named(waits, front), 2)
    assert await listed(yard, statuses=frozenset({"in_progress"})) == ([str(running.job_id)], 1)
    assert await listed(yard, statuses=frozenset({"completed", "failed"})) == (named(bad, good), 2)
    assert await listed(yard, statuses=frozenset({"cancelled"})) == (named(stopped), 1)


async def test_a_listing_by_duration_has_what_never_ran_at_the_end(yard: Yard) -> None:
    me = await yard.dispatcher_with_server()
    jobs = [await ended(yard, me) for _ in range(3)]
    for job, seconds in zip(jobs, (5, 30, 1), strict=True):
        await yard.run(
            "UPDATE jobs SET started_at = finished_at - make_interval(secs => %s) WHERE id = %s", seconds, job.id
        )
    waits = await yard.submit()

    expected = named(jobs[1], jobs[0], jobs[2], waits)
    assert await listed(yard, by_duration=True) == (expected, 4)
    assert await listed(yard, by_duration=True, ascending=True) == (expected[::-1], 4)


async def test_a_listing_of_one_workflow_has_its_prompts_only(yard: Yard) -> None:
    mine = await prompted(yard)
    await prompted(yard, prompt=Prompt("me", {"extra_pnginfo": {"workflow": {"id": "other"}}}))
    await prompted(yard, prompt=Prompt("me", {"extra_pnginfo": [1]}))
    await yard.submit()

    assert await listed(yard, workflow_id="w1") == (named(mine), 1)


# Controls ------------------------------------------------------------------------------------------


async def test_dropping_cancels_what_waits_and_takes_back_what_a_server_holds(yard: Yard) -> None:
    me = await yard.dispatcher_with_server()
    running, held = await yard.claimed(me, running=True), await yard.claimed(me)
    waits = await prompted(yard, price=7)

    assert set(await ask(yard, native.drop, None)) == {held.job_id, waits.id}

    assert (await yard.read(waits.id)).state is JobState.CANCELED
    assert await yard.hold(waits.id) == ("released", 0)
    assert kinds(await yard.events(waits.id)) == ["queued", "canceled"]
    assert (await yard.read(held.job_id)).state is JobState.CANCELING
    assert await yard.hold(held.job_id) == ("held", 0)
    assert kinds(await yard.events(held.job_id)) == ["queued", "canceling"]
    assert (await yard.read(running.job_id)).state is JobState.RUNNING
    assert await ask(yard, native.drop, None) == []


async def test_dropping_some_touches_no_others_and_nothing_that_runs(yard: Yard) -> None:
    me = await yard.dispatcher_with_server()
    chosen = new_uuid()
    running = await yard.claimed(me, running=True)
    mine, kept = await prompted(yard, native_prompt_id=chosen), await prompted(yard)

    assert await ask(yard, native.drop, [str(chosen), str(running.job_id), *MALFORMED]) == [mine.id]
    assert await ask(yard, native.drop, []) == []

    assert ids((await ask(yard, native.queue))[1]) == named(kept)


async def test_secrets_of_what_was_dropped_are_forgotten(yard: Yard) -> None:
    job = await prompted(yard, secrets={"api_key_comfy_org": "s"})

    await ask(yard, native.drop, [str(job.id)])

    assert await yard.value("SELECT secrets FROM jobs") is None


async def test_an_interrupt_reaches_what_runs_now_and_nothing_that_waits(yard: Yard) -> None:
    me = await yard.dispatcher_with_server()
    one, two = [await yard.claimed(me, running=True) for _ in range(2)]
    held, waits = await yard.claimed(me), await yard.submit()

    assert await ask(yard, native.interrupt, str(held.job_id)) == []
    assert await ask(yard, native.interrupt, str(waits.id)) == []
    assert await ask(yard, native.interrupt, str(one.job_id)) == [one.job_id]
    assert await ask(yard, native.interrupt, None) == [two.job_id]
    assert await ask(yard, native.interrupt, None) == []

    states = [(await yard.read(job_id)).state for job_id in (one.job_id, two.job_id, held.job_id, waits.id)]
    assert states == ["canceling", "canceling", "claimed", "queued"]
    assert kinds(await yard.events(one.job_id)) == ["queued", "running", "canceling"]


async def test_live_prompts_are_told_with_where_their_messages_go(yard: Yard) -> None:
    me = await yard.dispatcher_with_server()
    running = await yard.claimed(me, running=True, prompt=PROMPT)
    chosen = new_uuid()
    nobody = await prompted(yard, prompt=Prompt(), native_prompt_id=chosen)
    await ended(yard, me)
    await yard.submit()

    live = await ask(yard, native.live)

    assert [(one.job_id, one.prompt_id, one.client_id, one.state, one.began) for one in live] == [
        (running.job_id, str(running.job_id), "me", JobState.RUNNING, True),
        (nobody.id, str(chosen), None, JobState.QUEUED, False),
    ]


async def test_of_some_jobs_those_that_ended_are_told_in_that_order(yard: Yard) -> None:
    me = await yard.dispatcher_with_server()
    first, second = await yard.claimed(me, running=True), await yard.claimed(me, running=True)
    waits, dropped = await yard.submit(), await yard.submit()
    await end(yard, second, "failed")
    await end(yard, first, "succeeded")
    await yard.cancel(dropped.id)
    some: list[JobId] = [waits.id, first.job_id, dropped.id, second.job_id, JobId(new_uuid())]

    told = await ask(yard, native.ended, some)

    assert ids(told) == [str(second.job_id), str(first.job_id), str(dropped.id)]
    assert [entry.in_history for entry in told] == [True, True, False]
