"""A forecast begins jobs when and where the policy would, and says what nobody can know."""

import dataclasses
import statistics
import uuid
from collections.abc import Mapping

import pytest
from hypothesis import given as given_by
from hypothesis import settings
from hypothesis import strategies as st

from atelier.fleet.forecast import EXACTLY, Expected, forecast
from atelier.fleet.model import Share
from atelier.fleet.reasons import Ranks, Reasons
from atelier.fleet.scene import Limits, Retry, Scene
from atelier.kit.ids import JobId, ServerId
from support.scenes import (
    LACKING,
    LOAD,
    NOTHING,
    RUN,
    Driven,
    Size,
    busy,
    job,
    party,
    random_scene,
    scene,
    station,
)


def begins(of: Scene) -> list[float | None]:
    """When each begins, by its number."""
    expected = forecast(of).expected
    return [expected[one.job_id].begins_in for one in sorted(of.waiting, key=lambda one: one.position)]


def positions(of: Scene) -> list[int]:
    expected = forecast(of).expected
    return [expected[one.job_id].position for one in sorted(of.waiting, key=lambda one: one.position)]


def known(expected: Mapping[JobId, Expected]) -> dict[JobId, float]:
    return {job_id: one.begins_in for job_id, one in expected.items() if one.begins_in is not None}


# Beside the policy itself --------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(
    "size",
    [
        Size(8, 100, parties=5),
        Size(8, 100, parties=20, classes=3),
        Size(1, 40, parties=4, lanes=3),
    ],
)
def test_jobs_begin_exactly_when_the_policy_begins_them(size: Size, seed: int) -> None:
    given = random_scene(size, seed)

    told, truth = known(forecast(given).expected), Driven(given).begins()

    same = sum(told[job_id] == pytest.approx(when) for job_id, when in truth.items())
    assert told.keys() == truth.keys()
    assert same >= 0.9 * len(truth)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(
    "size",
    [
        Size(8, 120, parties=50, lanes=10),
        Size(8, 100, parties=10, lanes=4, sets=2, classes=3),
        Size(3, 60, parties=3, lanes=5, sets=2),
        Size(32, 150, parties=10, lanes=8, sets=4),
    ],
)
def test_with_models_and_servers_of_many_kinds_jobs_begin_about_when_the_policy_begins_them(
    size: Size, seed: int
) -> None:
    given = random_scene(size, seed)

    told, truth = known(forecast(given).expected), Driven(given).begins()

    errors = [told[job_id] - when for job_id, when in truth.items()]
    assert told.keys() == truth.keys()
    assert max(told.values()) == pytest.approx(max(truth.values()), rel=0.2)
    assert abs(statistics.fmean(errors)) <= 0.1 * max(truth.values())
    assert statistics.median(map(abs, errors)) <= RUN


# Order ---------------------------------------------------------------------------------------------


def test_a_position_counts_the_jobs_that_begin_before() -> None:
    old, young, urgent = job(1), job(2), job(3, party=party(priority=9))

    given = scene([station(busy=busy(4.0))], [old, young, urgent])

    assert positions(given) == [1, 2, 0]
    assert begins(given) == [14.0, 24.0, 4.0]


def test_whoever_was_given_least_for_its_weight_is_next() -> None:
    greedy, modest = party(1), party(2)
    waiting = [job(1, party=greedy), job(2, party=greedy), job(3, party=modest), job(4, party=modest)]

    equal = scene([station(busy=busy(1.0))], waiting)
    owed = scene(
        [station(busy=busy(1.0))], waiting, shares={greedy: Share(virtual_time=100.0), modest: Share(weight=1.0)}
    )

    assert positions(equal) == [0, 2, 1, 3]
    assert positions(owed) == [2, 3, 0, 1]


def test_inside_a_party_the_lowest_number_begins_first_and_others_keep_their_turns() -> None:
    mine, others = party(1), party(2)
    waiting = [job(1, party=mine), job(2, party=others), job(3, party=mine, number=-3.0), job(4, party=others)]

    plain = scene([station()], [dataclasses.replace(one, number=None) for one in waiting])
    numbered = scene([station()], waiting)
    nowhere = dataclasses.replace(numbered, dispatched=False)

    assert positions(plain) == [0, 1, 2, 3]
    assert positions(numbered) == [2, 1, 0, 3]
    assert positions(nowhere) == [2, 1, 0, 3]


def test_a_job_goes_where_its_models_are_loaded() -> None:
    given = scene(
        [station("gpu-1", warm=frozenset({"a"})), station("gpu-2", warm=frozenset({"b"}))],
        [job(1, lane="b"), job(2, lane="a")],
    )

    expected = forecast(given).expected

    assert expected[job(1).job_id] == Expected(0, 0.0, ServerId("gpu-2"))
    assert expected[job(2).job_id] == Expected(1, 0.0, ServerId("gpu-1"))


def test_a_job_is_left_to_a_busy_server_that_is_free_before_a_swap_would_be_done() -> None:
    warm = station("gpu-1", busy=busy(LOAD - 1), warm=frozenset({"a"}))
    cold = station("gpu-2", warm=frozenset({"b"}))

    expected = forecast(scene([warm, cold], [job(1, lane="a")])).expected

    assert expected[job(1).job_id] == Expected(0, LOAD - 1, ServerId("gpu-1"))


def test_only_the_servers_that_have_what_it_needs_are_counted() -> None:
    given = scene(
        [station("gpu-1"), station("gpu-2", busy=busy(7.0))],
        [job(1, requirement_id=2)],
        lacks=lambda server, wanted: LACKING if (server, wanted) == ("gpu-1", 2) else NOTHING,
    )

    assert begins(given) == [7.0]


def test_a_server_that_failed_it_is_waited_for_only_when_there_is_no_other() -> None:
    avoid = frozenset({ServerId("gpu-1")})
    failed = job(1, avoid=avoid)

    assert begins(scene([station("gpu-1"), station("gpu-2", busy=busy(3.0))], [failed])) == [3.0]
    assert begins(scene([station("gpu-1")], [failed])) == [0.0]


def test_a_server_whose_memory_was_too_little_is_waited_for_only_when_there_is_no_other() -> None:
    large = job(1, vram_over=8)

    assert begins(scene([station("gpu-1", vram=8), station("gpu-2", vram=24, busy=busy(3.0))], [large])) == [3.0]
    assert begins(scene([station("gpu-1", vram=8)], [large])) == [0.0]


# What keeps jobs waiting although servers are free --------------------------------------------------


def test_a_running_limit_of_the_account_opens_when_one_of_its_jobs_ends() -> None:
    mine = party(1)
    given = scene(
        [station("gpu-1", busy=busy(6.0, whose=mine)), station("gpu-2")],
        [job(1, party=mine), job(2, party=mine)],
        shares={mine: Share(may_begin=0)},
    )

    assert begins(given) == [6.0, 16.0]


def test_a_running_limit_is_one_for_all_classes_of_an_account() -> None:
    low, high = party(1, priority=1), party(1, priority=9)
    given = scene(
        [station("gpu-1"), station("gpu-2")],
        [job(1, party=low), job(2, party=high)],
        shares={low: Share(may_begin=1), high: Share(may_begin=1)},
    )

    assert begins(given) == [RUN, 0.0]


def test_the_fleet_runs_no_more_than_it_may() -> None:
    given = scene(
        [station("gpu-1", busy=busy(6.0)), station("gpu-2"), station("gpu-3")],
        [job(1), job(2)],
        limits=Limits(running=2),
    )

    assert begins(given) == [0.0, 6.0]


def test_a_server_begins_no_more_in_a_minute_than_it_may() -> None:
    given = scene([station(begun=(50.0, 20.0), per_minute=2)], [job(1), job(2), job(3)])

    assert begins(given) == [10.0, 40.0, 70.0]


def test_a_canary_takes_its_part_and_no_more() -> None:
    given = scene([station("gpu-1"), station("gpu-2", share=0.25)], [job(number) for number in range(1, 9)])

    expected = forecast(given).expected

    taken = [one.position for one in expected.values() if one.server_id == "gpu-2"]
    assert len(taken) == 2


def test_what_only_a_canary_can_run_it_runs_at_once() -> None:
    assert begins(scene([station(share=0.01)], [job(1), job(2)])) == [0.0, RUN]


def test_a_job_that_is_tried_again_waits_for_its_time() -> None:
    again = job(1)
    given = scene([station()], [again, job(2)], retries={again.job_id: Retry(4.0, "the server was lost", None)})

    assert begins(given) == [10.0, 0.0]
    assert positions(given) == [1, 0]


def test_a_server_stays_with_its_models_while_jobs_for_them_wait() -> None:
    given = scene(
        [station(warm=frozenset({"a"}), stay=15.0)],
        [job(1, lane="b", age=1000.0), job(2, lane="a"), job(3, lane="a"), job(4, lane="a")],
    )

    assert begins(given) == [20.0, 0.0, 10.0, 35.0]


# What nobody can know ------------------------------------------------------------------------------


@pytest.mark.parametrize("closed", ["is draining", "has been offline for about 3 min"])
def test_what_no_server_takes_has_the_place_of_its_turn_and_no_time(closed: str) -> None:
    given = scene([station(closed=closed)], [job(1), job(2, party=party(priority=7))])

    assert positions(given) == [1, 0]
    assert begins(given) == [None, None]


def test_without_a_dispatcher_nothing_begins() -> None:
    given = scene([station()], [job(1), job(2)], dispatched=False)

    assert positions(given) == [0, 1]
    assert begins(given) == [None, None]


def test_behind_a_run_that_nobody_measured_nobody_knows_the_time() -> None:
    given = scene([station(busy=busy(None))], [job(1), job(2)])

    assert begins(given) == [None, None]
    assert positions(given) == [0, 1]


def test_a_job_that_nobody_measured_begins_at_a_known_time_and_what_is_behind_it_does_not() -> None:
    given = scene([station(busy=busy(3.0))], [job(1), job(2)], run_seconds=lambda _shape, _server: None)

    assert begins(given) == [3.0, None]


# A long queue --------------------------------------------------------------------------------------


def test_what_is_behind_those_that_are_followed_begins_at_their_pace() -> None:
    count = EXACTLY + 100
    given = scene([station(), station("gpu-2")], [job(number) for number in range(1, count + 1)])

    assert positions(given) == list(range(count))
    assert begins(given)[-1] == pytest.approx((count - 1) // 2 * RUN, rel=0.02)


def test_behind_them_too_what_cannot_run_has_no_time() -> None:
    given = scene(
        [station()],
        [job(number, requirement_id=1 if number % 2 else 2) for number in range(1, 2 * EXACTLY)],
        lacks=lambda _server, wanted: NOTHING if wanted == 1 else LACKING,
    )

    told = begins(given)

    assert all((when is None) == bool(number % 2) for number, when in enumerate(told))


def test_the_order_is_that_of_beginning() -> None:
    given = random_scene(Size(4, 50, parties=5, lanes=3), seed=1)

    told = forecast(given)

    whens = [told.expected[one.job_id].begins_in or 0.0 for one in told.order]
    assert whens == sorted(whens)
    assert {one.job_id for one in told.order} == {JobId(uuid.UUID(int=number)) for number in range(50)}


# Whatever comes ------------------------------------------------------------------------------------


@st.composite
def scenes(draw: st.DrawFn) -> Scene:
    """Scenes with everything in them that keeps jobs waiting."""
    parties = [party(number, draw(st.integers(1, 10))) for number in range(draw(st.integers(1, 4)))]
    lanes = st.sampled_from(["", "a", "b", "a|b"])
    names = [ServerId(f"gpu-{number}") for number in range(draw(st.integers(0, 4)))]
    rests = st.one_of(st.none(), st.floats(0, 100))
    stations = [
        station(
            name,
            closed=draw(st.sampled_from(["", "", "", "is draining"])),
            busy=busy(*draw(st.lists(rests, max_size=3)), whose=draw(st.sampled_from(parties))),
            warm=draw(st.frozensets(lanes.filter(bool), max_size=2)),
            stay=draw(st.floats(0, 50)),
            vram=draw(st.sampled_from([0, 8, 24])),
            share=draw(st.sampled_from([1.0, 1.0, 0.5, 0.01])),
            begun=tuple(draw(st.lists(st.floats(0, 60), max_size=3))),
            per_minute=draw(st.integers(0, 2)),
        )
        for name in names
    ]
    waiting = [
        job(
            number,
            requirement_id=draw(st.integers(1, 3)),
            lane=draw(lanes),
            shape=draw(st.sampled_from([b"x", b"y"])),
            party=draw(st.sampled_from(parties)),
            age=draw(st.floats(0, 1000)),
            avoid=draw(st.frozensets(st.sampled_from(names), max_size=2)) if names else frozenset(),
            number=draw(st.sampled_from([None, None, -1.0, 0.5])),
            vram_over=draw(st.sampled_from([0, 8, 24])),
        )
        for number in range(draw(st.integers(0, 12)))
    ]
    lacking = draw(st.frozensets(st.tuples(st.sampled_from(names), st.integers(1, 3)))) if names else frozenset()
    again = draw(st.frozensets(st.sampled_from(waiting), max_size=3)) if waiting else frozenset()
    return scene(
        stations,
        waiting,
        shares={
            one: Share(draw(st.floats(0, 100)), draw(st.floats(0.1, 10)), draw(st.sampled_from([None, 0, 1, 2])))
            for one in parties
        },
        lacks=lambda server, wanted: LACKING if (server, wanted) in lacking else NOTHING,
        run_seconds=lambda shape, _server: None if shape == b"y" else RUN,
        limits=Limits(running=draw(st.integers(0, 4))),
        retries={one.job_id: Retry(draw(st.floats(0, 30)), "the server was lost", None) for one in again},
    )


@settings(max_examples=300, deadline=None)
@given_by(scenes())
def test_every_job_is_told_something_that_can_be_true(given: Scene) -> None:
    told = forecast(given)

    reasons = Reasons(given, told, Ranks(told.order))
    going = [one for one in told.expected.values() if one.server_id is not None]
    assert told.expected.keys() == {one.job_id for one in given.waiting}
    assert sorted(one.position for one in going) == list(range(len(going)))
    assert all(0 <= one.position < max(len(given.waiting), 1) for one in told.expected.values())
    for one in given.waiting:
        expected = told.expected[one.job_id]
        assert reasons.why(one).startswith("waiting")
        assert expected.begins_in is None or expected.begins_in >= 0
        if expected.server_id is not None:
            assert given.satisfies(expected.server_id, one.requirement_id)
            assert not given.stations[expected.server_id].closed
