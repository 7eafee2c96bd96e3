"""What was told first is compared with what came, and nothing is remembered without bounds."""

import uuid

import pytest

from atelier.jobs.punctuality import ASKED_AT_ONCE, REMEMBERED, SAMPLES, Errors, Punctuality
from atelier.kit.ids import JobId


def job(number: int) -> JobId:
    return JobId(uuid.UUID(int=number))


def measured(*told_and_waited: tuple[float, float]) -> Errors:
    """Everybody is told at the time 0; now is 1000."""
    punctuality = Punctuality()
    for number, (told, _) in enumerate(told_and_waited):
        punctuality.tell(job(number), 0.0, told)
    punctuality.left(1000.0, {job(number): 1000.0 - waited for number, (_, waited) in enumerate(told_and_waited)})
    return punctuality.errors()


def test_without_a_beginning_there_is_nothing_to_say() -> None:
    assert measured() == Errors(0, None, None, None, None)


def test_errors_are_what_came_beyond_what_was_told() -> None:
    errors = measured((10, 11), (10, 14), (20, 18), (100, 100))

    assert errors.samples == 4
    assert errors.median == pytest.approx(1.5)
    assert errors.mean_absolute == pytest.approx(7 / 4)
    assert errors.bias == pytest.approx(3 / 4)
    assert errors.close == 3 / 4


def test_nothing_is_told_more_exactly_than_a_second() -> None:
    assert measured((0.0, 0.9)).close == 1.0
    assert measured((0.0, 1.1)).close == 0.0


def test_only_the_first_word_counts() -> None:
    punctuality = Punctuality()
    punctuality.tell(job(1), 0.0, 10.0)
    punctuality.tell(job(1), 9.0, 1.0)

    punctuality.left(20.0, {job(1): 0.0})

    assert punctuality.errors().bias == pytest.approx(10.0)


def test_a_job_that_never_began_says_nothing() -> None:
    punctuality = Punctuality()
    punctuality.tell(job(1), 0.0, 10.0)

    punctuality.left(20.0, {job(1): None, job(2): 3.0})

    assert punctuality.errors().samples == 0
    assert punctuality.awaited() == []


def test_the_oldest_are_asked_for_first_and_so_many_at_once() -> None:
    punctuality = Punctuality()
    for number in range(REMEMBERED + 10):
        punctuality.tell(job(number), 0.0, 1.0)

    assert punctuality.awaited() == [job(number) for number in range(10, 10 + ASKED_AT_ONCE)]
    assert punctuality.awaited(but={job(10), job(12)})[:2] == [job(11), job(13)]


def test_the_last_thousand_count() -> None:
    punctuality = Punctuality()
    for number in range(SAMPLES + 500):
        punctuality.tell(job(number), 0.0, 0.0)
        punctuality.left(1.0, {job(number): 0.0})

    assert punctuality.errors().samples == SAMPLES
