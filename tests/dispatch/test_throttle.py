"""A server is given so many jobs a minute and no more, and a canary exactly its part."""

from hypothesis import given
from hypothesis import strategies as st

from atelier.dispatch.throttle import Throttle


def test_without_a_limit_there_is_room_for_any_number() -> None:
    throttle = Throttle()
    throttle.give(0.0)

    assert throttle.room(0.0, 0) is None
    assert throttle.rest(0.0, 0) == 0.0


def test_what_was_given_within_a_minute_counts() -> None:
    throttle = Throttle()
    for now in (0.0, 10.0, 20.0):
        throttle.give(now)

    assert throttle.room(30.0, 3) == 0
    assert throttle.rest(30.0, 3) == 30.0
    assert throttle.room(60.0, 3) == 1
    assert throttle.rest(60.0, 3) == 0.0
    assert throttle.rest(61.0, 1) == 19.0


def test_a_limit_that_became_smaller_is_waited_for() -> None:
    throttle = Throttle()
    throttle.restore([5.0, 0.0, 10.0])

    assert throttle.room(20.0, 1) == 0
    assert throttle.rest(20.0, 1) == 50.0
    assert throttle.rest(20.0, 2) == 45.0


@given(st.lists(st.floats(0, 300), max_size=60), st.integers(1, 5))
def test_no_minute_ever_has_more(times: list[float], most: int) -> None:
    throttle, given_at = Throttle(), list[float]()

    for now in sorted(times):
        if throttle.room(now, most):
            throttle.give(now)
            given_at.append(now)

    for now in given_at:
        assert sum(now - 60 < other <= now for other in given_at) <= most


@given(st.sampled_from([0.5, 0.25, 0.2, 0.1, 0.3, 0.9, 1 / 3]), st.integers(1, 300))
def test_a_canary_takes_its_part_of_what_it_could(share: float, jobs: int) -> None:
    throttle, taken = Throttle(), 0

    for _ in range(jobs):
        its_turn = throttle.is_its_turn(share)
        throttle.pass_by(share)
        if its_turn:
            throttle.take_turn()
            taken += 1

    assert jobs * share - 1 <= taken <= jobs * share + 1e-6


def test_a_canary_that_was_busy_saves_nothing_up() -> None:
    throttle = Throttle()
    for _ in range(100):
        throttle.pass_by(0.5)

    turns = 0
    while throttle.is_its_turn(0.5):
        throttle.pass_by(0.5)
        throttle.take_turn()
        turns += 1
    assert turns <= 3
