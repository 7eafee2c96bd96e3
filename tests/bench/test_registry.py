"""The registry section runs, with the least of everything, and its figures fit its tables."""

from pathlib import Path

import pytest

from tools.bench.registry import report
from tools.bench.registry.plan import Plan
from tools.bench.registry.section import measured
from tools.bench.report import about

LEAST = Plan(rounds=1, jobs=2, cached=2, batches=1, items=3, warm_up=1)


@pytest.mark.timeout(300)
def test_it_measures_and_tells(tmp_path: Path) -> None:
    parts = measured(LEAST, tmp_path, lambda _: None)

    found = about(quick=True) | parts
    assert parts["wrong"] == 0
    assert parts["batch"]["accepted"] == 3
    assert parts["cached_answers"] == 2
    assert "memory of the API's process" in report.spelled(found)
    assert len(report.tables(found)) == 2
