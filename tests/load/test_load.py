"""`./run load` itself, with few users for a short time: the same code, the same promises."""

from dataclasses import replace
from pathlib import Path

import pytest

from tools.load.plan import Plan
from tools.load.report import report, table
from tools.load.run import run
from tools.load.tally import Seen, Tally
from tools.load.verdict import Kept, grown, lost
from tools.load.watch import Curve, Sample

PLAN = Plan(users=10, seconds=15, think=0.6, canceled=0.15, weather=1.5)
ENDED = Kept("1", "succeeded", ends=1, outputs=1, living=0, hold="captured")


@pytest.mark.timeout(240)
async def test_ten_users_lose_no_job_while_their_servers_are_cut_off(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    said: list[str] = []

    ran = await run(PLAN, tmp_path, said.append)

    found = report(ran)
    assert ran.broken == []
    assert found["stored"] == found["accepted"] == sum(found["ended"].values())
    assert found["ended"]["succeeded"] == found["pictures"] > 20
    assert set(found["followed"]) == {"by events", "by polling"}
    assert sum(found["faults"].values()) > 0
    assert table(found).row_count > 0
    assert said


@pytest.mark.parametrize(
    ("seen", "kept", "words"),
    [
        (Seen("a", "1", "succeeded"), None, "is not there"),
        (Seen("a", "1", "succeeded"), replace(ENDED, state="queued", ends=0), "has not ended once"),
        (Seen("a", "1", "succeeded"), replace(ENDED, ends=2), "2 ends"),
        (Seen("a", "1", "canceled"), ENDED, "its client saw canceled"),
        (Seen("a", "1", ""), ENDED, "its client saw no end"),
        (Seen("a", "1", "succeeded"), replace(ENDED, outputs=0), "0 outputs"),
        (Seen("a", "1", "succeeded"), replace(ENDED, hold="held"), "a hold held"),
    ],
)
def test_a_job_that_did_not_end_as_its_client_saw_it_is_told(seen: Seen, kept: Kept | None, words: str) -> None:
    jobs = {} if kept is None else {"a": kept}

    [told] = lost(Tally({"a": seen}), jobs)

    assert words in told


def test_a_job_that_nobody_asked_for_is_told() -> None:
    assert lost(Tally(), {"a": ENDED}) == ["nobody asked for job 1"]


def test_a_submit_whose_answer_was_lost_needs_only_a_good_end() -> None:
    assert lost(Tally({"a": Seen("a")}), {"a": ENDED}) == []


def test_a_process_that_goes_on_growing_after_its_warm_up_is_told() -> None:
    leaking = Curve([Sample(float(at), 60 + at / 10, 20, 0.0) for at in range(301)])
    flat = Curve([Sample(float(at), 60 + min(at, 60) / 10, 20, 0.0) for at in range(301)])

    [told] = grown(Plan(users=1, seconds=300), {"API": leaking, "dispatcher": flat})

    assert "API grew by 24.0 MiB" in told
