"""A queue that stands still is told from one that is only slow, by looks alone."""

from atelier.dispatch.ends import Sight
from atelier.dispatch.probe import probe_graph
from atelier.dispatch.signs import Look, Signs

CORE = {"EmptyImage", "ImageBlur", "ImageSharpen", "PreviewImage", "SaveImage"}


def looks(
    signs: Signs, sight: Sight, *, runs: bool, until: int, epoch: int = 1, socket_works: bool = True
) -> list[str]:
    return [signs.judge(Look(sight, runs, epoch, float(now), socket_works)) for now in range(until + 1)]


def signs(*, heard: bool = False) -> Signs:
    return Signs(silent_for=10.0, waits_for=5.0, epoch=1, heard=heard)


def test_a_prompt_that_runs_unheard_for_ten_seconds_is_a_sign() -> None:
    told = looks(signs(), Sight.RUNNING, runs=True, until=10)

    assert told[:10] == [""] * 10
    assert "counts as running" in told[10]


def test_a_prompt_that_was_heard_once_may_be_silent_for_ever() -> None:
    assert set(looks(signs(heard=True), Sight.RUNNING, runs=True, until=1000)) == {""}


def test_silence_means_nothing_without_a_socket_that_works() -> None:
    assert set(looks(signs(), Sight.RUNNING, runs=True, until=100, socket_works=False)) == {""}


def test_silence_means_nothing_on_a_socket_that_came_after_the_prompt() -> None:
    assert set(looks(signs(), Sight.RUNNING, runs=True, until=100, epoch=2)) == {""}


def test_waiting_while_nothing_runs_for_five_seconds_is_a_sign() -> None:
    told = looks(signs(), Sight.PENDING, runs=False, until=5)

    assert told[:5] == [""] * 5
    assert "nothing runs" in told[5]


def test_waiting_behind_another_prompt_is_none() -> None:
    assert set(looks(signs(), Sight.PENDING, runs=True, until=1000)) == {""}


def test_two_looks_between_two_prompts_are_no_sign_however_far_apart() -> None:
    seen = signs()

    told = [
        seen.judge(Look(Sight.PENDING, anything_runs=False, epoch=1, now=at, socket_works=True))
        for at in (0.0, 60.0)
    ]

    assert told == ["", ""]


def test_a_sign_begins_anew_when_something_ran_meanwhile() -> None:
    seen = signs()
    looks(seen, Sight.PENDING, runs=False, until=4)
    seen.judge(Look(Sight.PENDING, anything_runs=True, epoch=1, now=4.5, socket_works=True))

    assert not seen.suspicious
    assert set(looks(seen, Sight.PENDING, runs=False, until=4)) == {""}


def test_a_strangers_prompt_that_does_not_end_blocks_those_behind_it() -> None:
    seen = signs()

    def behind(stranger: str, now: float) -> str:
        return seen.blocked(Look(Sight.PENDING, True, 1, now, True, stranger), patience=600.0)

    assert [behind("a", 0.0), behind("b", 500.0), behind("b", 1099.0)] == ["", "", ""]
    assert behind("b", 1100.0) == "a prompt that is not ours runs there for 600 s"


def test_the_probe_asks_disk_queue_and_gpu_of_what_the_server_has() -> None:
    whole = probe_graph(CORE, color=7)
    without_blur = probe_graph(CORE - {"ImageBlur"}, color=7)
    least = probe_graph({"EmptyImage", "SaveImage"}, color=7)

    assert whole is not None
    assert [node["class_type"] for node in whole.values()] == ["EmptyImage", "ImageBlur", "PreviewImage"]
    assert without_blur is not None
    assert without_blur["2"]["class_type"] == "ImageSharpen"
    assert least is not None
    assert [node["class_type"] for node in least.values()] == ["EmptyImage", "SaveImage"]
    assert least["3"]["inputs"]["images"] == ["1", 0]
    assert probe_graph({"EmptyImage"}, color=7) is None
