"""Numbers are said as people say them."""

import pytest

from atelier.fleet.words import jobs, joined, span


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.0, "1 s"),
        (40.4, "40 s"),
        (119.0, "119 s"),
        (120.0, "2 min"),
        (5400.0, "90 min"),
        (7200.0, "2 h"),
        (86_400.0, "24 h"),
    ],
)
def test_seconds_are_said_in_the_unit_that_fits(seconds: float, words: str) -> None:
    assert span(seconds) == words


@pytest.mark.parametrize(
    ("words", "said"), [([], ""), (["a"], "a"), (["a", "b"], "a and b"), (["a", "b", "c"], "a, b and c")]
)
def test_lists_end_in_and(words: list[str], said: str) -> None:
    assert joined(words) == said


def test_one_job_is_not_many() -> None:
    assert (jobs(1), jobs(2)) == ("1 job", "2 jobs")
