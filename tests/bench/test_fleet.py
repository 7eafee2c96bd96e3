"""Each part of the fleet's bench runs, with the least of everything, and its figures fit its tables."""

from pathlib import Path

import pytest

from tools.bench.fleet import report
from tools.bench.fleet.plan import Depth, Plan, Saturation
from tools.bench.fleet.runs import Run, saturated
from tools.bench.fleet.section import PARTS, measured, wrong
from tools.bench.report import about

LEAST = Plan(
    scaling=(Saturation(1, 0.1, 5),),
    busy=(),
    depths=(Depth(200), Depth(400, 50)),
    rounds=1,
    claims=3,
    split=Saturation(2, 0.1, 8),
    crowd=3,
    idle=0.2,
)


@pytest.mark.timeout(120)
@pytest.mark.parametrize("name", [name for name in PARTS if name != "busy"])
def test_a_part_measures_and_tells(name: str, tmp_path: Path) -> None:
    parts = measured([name], LEAST, tmp_path, lambda _: None)

    found = about(quick=True) | parts
    assert wrong(parts) == 0
    assert report.rows(name, parts[name])
    assert [table.row_count > 0 for table in report.tables(found)] == [True]
    assert "nan" not in report.spelled(found)


def test_the_share_of_busy_time_is_told_from_the_same_figures() -> None:
    assert PARTS.keys() == report.HEADS.keys()
    figures = {"busy": 0.995, "gap_p50": 0.0, "gap_p99": 1.0}

    [row] = report.busy_rows([{"servers": 2, "step_seconds": 0.1, "direct": figures, "atelier": figures}])

    assert row == ("2 servers, jobs of 100 ms", "99.50%", "99.50%", "0.0 / 1.0 ms", "at least 99%: met")


def test_two_servers_that_never_pause_are_wholly_busy() -> None:
    fleet = [[Run(start, start + 100) for start in range(0, 1000, 100)] for _ in range(2)]

    seen = saturated(fleet, submitted=0.05)

    assert (seen.busy, seen.rate, seen.run_millis) == (1.0, 20.0, 100.0)
    assert set(seen.gaps) == {0.0}


def test_a_pause_is_seen_as_what_it_cost() -> None:
    paused = [Run(0, 100), Run(150, 250), Run(250, 350), Run(350, 450)]

    seen = saturated([paused], submitted=0.0)

    assert seen.seconds == pytest.approx(0.25)
    assert seen.busy == pytest.approx(200 / 250)
    assert seen.rate == pytest.approx(8.0)
    assert max(seen.gaps) == 50.0


def test_what_is_missed_is_told_as_missed() -> None:
    slow = {"servers": 4, "step_seconds": 1.0, "ideal": 4.0, "of_ideal": 0.96, "direct": {"rate": 4.0}}

    [row] = report.scaling_rows([slow | {"atelier": {"rate": 3.84}}])

    assert row[-1] == "96.0% (at least 97%): missed"


def test_jobs_that_went_wrong_are_counted_wherever_they_stand() -> None:
    assert wrong({"scaling": [{"wrong": 1}, {"wrong": 0}], "memory": {"wrong": 2, "few": {}}}) == 3
