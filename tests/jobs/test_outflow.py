"""A client that was refused for a full queue comes back when a place has become free, more or less."""

from atelier.jobs.outflow import LATEST, SOONEST, Outflow
from atelier.kit.ids import AccountId, new_uuid

ONE, OTHER = AccountId(new_uuid()), AccountId(new_uuid())


def test_nobody_knows_before_anything_was_counted() -> None:
    assert Outflow().seconds_to_one() == LATEST


def test_a_queue_that_stands_still_is_tried_again_late() -> None:
    flow = Outflow()
    flow.count(0.0, {ONE: 10})
    flow.count(1.0, {ONE: 10})

    assert flow.seconds_to_one() == flow.seconds_to_one(ONE) == LATEST


def test_a_queue_that_moves_is_tried_again_when_one_has_left() -> None:
    flow = Outflow()
    flow.count(0.0, {ONE: 10, OTHER: 10})
    flow.count(6.0, {ONE: 8, OTHER: 10})

    assert flow.seconds_to_one(ONE) == 3
    assert flow.seconds_to_one() == 3
    assert flow.seconds_to_one(OTHER) == LATEST


def test_those_that_came_meanwhile_do_not_hide_those_that_left() -> None:
    flow = Outflow()
    flow.count(0.0, {ONE: 10})
    for _ in range(5):
        flow.accept(ONE)
    flow.count(1.0, {ONE: 10})

    assert flow.seconds_to_one(ONE) == SOONEST


def test_a_first_count_says_nothing_about_speed() -> None:
    flow = Outflow()
    flow.accept(ONE)
    flow.count(5.0, {})

    assert flow.seconds_to_one(ONE) == LATEST
