"""Run times come from runs whose models were loaded; what cold ones took beyond that is what loading takes."""

import pytest

from atelier.dispatch.pace import UNMEASURED_LOAD, Pace
from atelier.kit.database import Database
from atelier.kit.ids import ServerId

ONE, OTHER = ServerId("gpu-1"), ServerId("gpu-2")
SHAPE = b"shape"


@pytest.fixture
def pace(database: Database) -> Pace:
    return Pace(database)


def ran(pace: Pace, seconds: float, *, cold: bool, server_id: ServerId = ONE, lane: str = "flux") -> None:
    pace.ran(SHAPE, lane, server_id, seconds, cold=cold)


async def test_nothing_is_known_at_first(pace: Pace) -> None:
    assert pace.expected(SHAPE, ONE) is None
    assert pace.loading("flux", ONE) == UNMEASURED_LOAD


async def test_a_graph_without_models_loads_nothing(pace: Pace) -> None:
    assert pace.loading("", ONE) == 0.0


async def test_a_warm_run_says_how_long_the_next_takes(pace: Pace) -> None:
    ran(pace, 4.0, cold=False)
    ran(pace, 5.0, cold=False)

    assert pace.expected(SHAPE, ONE) == pytest.approx(4.3)


async def test_a_cold_run_is_not_mixed_into_run_times(pace: Pace) -> None:
    ran(pace, 4.0, cold=False)
    ran(pace, 11.0, cold=True)

    assert pace.expected(SHAPE, ONE) == 4.0
    assert pace.loading("flux", ONE) == 7.0


async def test_a_cold_run_is_understood_when_the_graph_runs_there_again(pace: Pace) -> None:
    ran(pace, 11.0, cold=True)
    most = pace.expected(SHAPE, ONE)
    ran(pace, 4.0, cold=False)

    assert most == 11.0  # a run takes no longer than one that also had to load
    assert pace.expected(SHAPE, ONE) == 4.0
    assert pace.loading("flux", ONE) == 7.0


async def test_loading_never_takes_less_than_nothing(pace: Pace) -> None:
    ran(pace, 4.0, cold=False)
    ran(pace, 3.0, cold=True)

    assert pace.loading("flux", ONE) == 0.0


async def test_another_server_is_taken_to_be_like_those_that_were_measured(pace: Pace) -> None:
    ran(pace, 4.0, cold=False)
    ran(pace, 10.0, cold=True)

    assert pace.expected(SHAPE, OTHER) == 4.0
    assert pace.loading("flux", OTHER) == 6.0

    ran(pace, 8.0, cold=False, server_id=OTHER)
    assert pace.expected(SHAPE, OTHER) == 8.0
    assert pace.expected(SHAPE, ONE) == 4.0


async def test_what_was_measured_outlives_its_process(pace: Pace, database: Database) -> None:
    ran(pace, 4.0, cold=False)
    ran(pace, 10.0, cold=True)
    await pace.save()
    ran(pace, 4.0, cold=False)
    await pace.save()

    after = Pace(database)
    await after.load()

    assert after.expected(SHAPE, ONE) == 4.0
    assert after.loading("flux", ONE) == 6.0
