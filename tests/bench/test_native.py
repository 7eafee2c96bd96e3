"""The native section runs, with the least of everything, and its figures fit its tables."""

from pathlib import Path

import pytest

from atelier.simulator import sockets
from tools.bench.native import report, stamping
from tools.bench.native.plan import Crowd, Plan
from tools.bench.native.section import measured
from tools.bench.report import about

LEAST = Plan(rounds=1, prompts=2, warm_up=1, crowd=Crowd(sockets=4, accounts=2, jobs=2, steps=3, step=0.05))


@pytest.mark.timeout(180)
def test_it_measures_and_tells(tmp_path: Path) -> None:
    parts = measured(LEAST, tmp_path, lambda _: None)

    found = about(quick=True) | parts
    assert parts["wrong"] == 0
    assert [way["events"] for way in parts["crowd"]["ways"]] == [6, 12, 12]
    assert [table.row_count for table in report.tables(found)] == [4, 3]
    assert "nan" not in report.spelled(found)


def test_a_stamp_is_written_into_progress_alone() -> None:
    assert stamping.STAMP in stamping._stamped("progress", {"value": 1})
    assert stamping._stamped("status", {"value": 1}) == sockets.encode("status", {"value": 1})
