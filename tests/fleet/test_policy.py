"""Which job goes where is decided by values alone; whatever waits and whatever is free, these promises hold."""

from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from atelier.fleet.model import Party, Slot, SlotKind, Waiting
from atelier.fleet.policy import assign
from atelier.fleet.prefetch import assign_behind, expected_rest, may_place_ahead, runs_video
from atelier.kit.ids import AccountId, JobId, ServerId, new_uuid

ACCOUNT = AccountId(new_uuid())
A, B = ServerId("a"), ServerId("b")


def slot(server_id: ServerId, rest: float | None = None) -> Slot:
    kind = SlotKind.IDLE if rest is None else SlotKind.AHEAD
    return Slot(server_id, 1, kind, rest or 0.0)


def waiting(position: int, *, priority: int = 5, requirement: int = 1) -> Waiting:
    return Waiting(JobId(new_uuid()), requirement, "", b"", Party(priority, ACCOUNT), position)


@dataclass
class Fleet:
    """What the policy may ask."""

    able: Callable[[ServerId, int], bool] = lambda _server, _requirement: True
    run: float | None = None
    load: float = 5.0

    def satisfies(self, server_id: ServerId, requirement_id: int) -> bool:
        return self.able(server_id, requirement_id)

    def run_seconds(self, shape: bytes, server_id: ServerId) -> float | None:
        return self.run

    def load_seconds(self, lane: str, server_id: ServerId) -> float:
        return self.load


everything = Fleet()


def test_class_comes_before_age() -> None:
    old, urgent = waiting(1), waiting(2, priority=9)

    [placed] = assign([slot(A)], [old, urgent], {}, everything)

    assert placed.job_id == urgent.job_id


def test_age_decides_inside_a_class() -> None:
    young, old = waiting(2), waiting(1)

    assert [placed.job_id for placed in assign([slot(A)], [young, old], {}, everything)] == [old.job_id]


def test_an_idle_server_is_taken_before_one_that_is_soon_free() -> None:
    first, second, third = (waiting(number) for number in range(3))

    placed = assign([slot(A, 0.5), slot(B), slot(ServerId("c"), 0.1)], [first, second, third], {}, everything)

    assert [(one.job_id, one.slot.server_id) for one in placed] == [
        (first.job_id, "b"),
        (second.job_id, "c"),
        (third.job_id, "a"),
    ]


def test_a_job_that_no_free_server_can_run_lets_others_pass() -> None:
    special, plain = waiting(1, priority=9, requirement=2), waiting(2)

    placed = assign([slot(A)], [special, plain], {}, Fleet(lambda _server, requirement: requirement == 1))

    assert [one.job_id for one in placed] == [plain.job_id]


def test_every_placement_says_why() -> None:
    placed = assign([slot(A), slot(B, 1.25)], [waiting(1), waiting(2)], {}, everything)

    assert [one.reason for one in placed] == ["a is idle", "b is free in about 1.2 s"]


def test_nothing_free_or_nothing_waiting_places_nothing() -> None:
    assert assign([], [waiting(1)], {}, everything) == []
    assert assign([slot(A)], [], {}, everything) == []


def test_only_a_short_and_known_rest_is_waited_behind_and_never_a_videos() -> None:
    assert may_place_ahead(2.9, video=False)
    assert not may_place_ahead(3.0, video=False)
    assert not may_place_ahead(None, video=False)
    assert not may_place_ahead(0.1, video=True)


def test_the_rest_of_a_run_is_what_it_usually_takes_less_what_it_took() -> None:
    assert expected_rest(None, 5) is None
    assert expected_rest(10, 4) == 6
    assert expected_rest(10, 10) == 0


@given(st.floats(0, 1e6), st.floats(0, 1e6))
def test_a_rest_is_never_negative_and_an_overdue_run_is_not_soon_over(expected: float, elapsed: float) -> None:
    rest = expected_rest(expected, elapsed)

    assert rest is not None
    assert rest >= 0
    assert elapsed <= expected or rest >= elapsed / 4


_SERVERS = st.integers(0, 5)
_SLOTS = st.lists(
    st.builds(
        lambda number, rest: slot(ServerId(f"server-{number}"), rest),
        _SERVERS,
        st.one_of(st.none(), st.floats(0, 3)),
    ),
    max_size=8,
    unique_by=lambda one: one.server_id,
)
_JOBS = st.lists(
    st.builds(
        lambda position, priority, requirement: waiting(position, priority=priority, requirement=requirement),
        st.integers(0, 10**9),
        st.integers(1, 10),
        st.integers(0, 4),
    ),
    max_size=12,
    unique_by=lambda one: one.position,
)
_ABLE = st.frozensets(st.tuples(_SERVERS, st.integers(0, 4)))


@given(_SLOTS, _JOBS, _ABLE)
def test_the_promises_hold_whatever_waits(
    slots: list[Slot], jobs: list[Waiting], able: frozenset[tuple[int, int]]
) -> None:
    def satisfies(server_id: ServerId, requirement_id: int) -> bool:
        return (int(server_id.removeprefix("server-")), requirement_id) in able

    placed = assign(slots, jobs, {}, Fleet(satisfies))

    by_id = {job.job_id: job for job in jobs}
    pairs = [(by_id[one.job_id], one.slot) for one in placed]
    unplaced = [job for job in jobs if job.job_id not in {one.job_id for one in placed}]
    used = [one for _, one in pairs]
    assert len({one.server_id for one in used}) == len(used)
    assert len({job.job_id for job, _ in pairs}) == len(pairs)
    assert all(one in slots and satisfies(one.server_id, job.requirement_id) for job, one in pairs)
    for left in unplaced:
        usable = [one for one in slots if satisfies(one.server_id, left.requirement_id)]
        assert all(one in used for one in usable)
        for job, one in pairs:
            if one in usable:
                assert (-job.party.priority, job.position) < (-left.party.priority, left.position)


@given(_SLOTS, _JOBS, _ABLE, st.randoms())
def test_the_order_in_which_things_are_told_does_not_matter(
    slots: list[Slot], jobs: list[Waiting], able: frozenset[tuple[int, int]], random: Random
) -> None:
    def satisfies(server_id: ServerId, requirement_id: int) -> bool:
        return (int(server_id.removeprefix("server-")), requirement_id) in able

    shuffled_slots, shuffled_jobs = list(slots), list(jobs)
    random.shuffle(shuffled_slots)
    random.shuffle(shuffled_jobs)

    assert assign(slots, jobs, {}, Fleet(satisfies)) == assign(shuffled_slots, shuffled_jobs, {}, Fleet(satisfies))


def test_behind_a_short_job_on_an_idle_server_the_next_one_is_placed_at_once() -> None:
    first, second = waiting(1), waiting(2)
    placed = assign([slot(A)], [first, second], {}, everything)

    [behind] = assign_behind(placed, [first, second], {}, everything, lambda _: 0.2)

    assert behind.job_id == second.job_id
    assert behind.slot == slot(A, rest=0.2)


def test_nothing_is_placed_behind_what_is_not_known_to_be_short_or_waits_itself() -> None:
    first, second, third = waiting(1), waiting(2), waiting(3)
    jobs = [first, second, third]

    assert assign_behind(assign([slot(A)], jobs, {}, everything), jobs, {}, everything, lambda _: None) == []
    assert (
        assign_behind(assign([slot(A, rest=0.2)], jobs, {}, everything), jobs, {}, everything, lambda _: 0.2) == []
    )


def test_moving_pictures_are_known_by_their_nodes() -> None:
    assert runs_video(["KSampler", "SaveAnimatedWEBP"])
    assert not runs_video(["KSampler", "SaveImage"])
