"""Whatever waits and whatever is free, the policy's promises hold."""

import dataclasses
from collections import Counter
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from atelier.fleet.model import Party, Placement, Share, Slot, SlotKind, Waiting, turn_in_party
from atelier.fleet.policy import assign, longest_wait
from atelier.fleet.prefetch import assign_behind, expected_rest
from atelier.kit.ids import ServerId
from support.policy_values import Fleet, party, slot, waiting

LANES = ("", "flux", "sdxl", "wan")
SERVERS = st.integers(0, 5).map(lambda number: ServerId(f"s{number}"))
PARTIES = st.builds(
    lambda name, end_user, priority: party(name, end_user, priority=priority),
    st.sampled_from("abc"),
    st.sampled_from(["", "u"]),
    st.sampled_from([1, 5, 9]),
)
SLOTS = st.lists(
    st.builds(
        Slot,
        SERVERS,
        st.just(1),
        st.sampled_from(SlotKind),
        st.floats(0, 8),
        st.frozensets(st.sampled_from(LANES[1:]), max_size=2),
        st.sampled_from([0.0, 0.0, 10.0]),
        st.sampled_from([0, 8, 24]),
    ).map(lambda one: dataclasses.replace(one, rest=0.0) if one.kind is SlotKind.IDLE else one),
    max_size=6,
    unique_by=lambda one: one.server_id,
)
JOBS = st.lists(
    st.builds(
        lambda position, lane, requirement, age, who, avoid, vram, number: dataclasses.replace(
            waiting(position, lane, requirement=requirement, age=age, who=who, number=number),
            avoid=avoid,
            vram_over=vram,
        ),
        st.integers(0, 10**6),
        st.sampled_from(LANES),
        st.integers(0, 3),
        st.floats(0, 300),
        PARTIES,
        st.frozensets(SERVERS, max_size=2),
        st.sampled_from([0, 0, 8, 24]),
        st.one_of(st.none(), st.sampled_from([-1e6, 0.0, 0.5, 5e5])),
    ),
    max_size=14,
    unique_by=lambda one: one.position,
)
SHARES = st.dictionaries(
    PARTIES,
    st.builds(
        Share,
        st.floats(0, 200),
        st.sampled_from([0.5, 1.0, 4.0]),
        st.one_of(st.none(), st.integers(0, 2)),
    ),
)
FLEETS = st.builds(
    lambda able, run, load: Fleet(lambda server, need: not need or (server, need) in able, run, load),
    st.frozensets(st.tuples(SERVERS, st.integers(0, 3))),
    st.one_of(st.none(), st.floats(0.1, 20)),
    st.sampled_from([0.0, 0.1, 5.0, 20.0]),
)


@given(SLOTS, JOBS, SHARES, FLEETS)
def test_a_slot_takes_one_job_it_can_run_and_a_job_goes_to_one_slot(
    slots: list[Slot], jobs: list[Waiting], shares: dict[Party, Share], fleet: Fleet
) -> None:
    placed = assign(slots, jobs, shares, fleet)

    assert len({one.slot.server_id for one in placed}) == len({one.job_id for one in placed}) == len(placed)
    for job, one in paired(placed, jobs):
        assert one.slot in slots
        assert one.slot.kind is not SlotKind.BUSY
        assert fleet.satisfies(one.slot.server_id, job.requirement_id)
        assert one.reason
        assert one.cost >= 0


@given(SLOTS, JOBS, SHARES, FLEETS)
def test_no_party_gets_more_than_it_may_begin(
    slots: list[Slot], jobs: list[Waiting], shares: dict[Party, Share], fleet: Fleet
) -> None:
    placed = assign(slots, jobs, shares, fleet)
    behind = assign_behind(placed, jobs, shares, fleet, lambda _: 0.5)

    begun = Counter(job.party for job, _ in paired([*placed, *behind], jobs))
    for who, share in shares.items():
        assert share.may_begin is None or begun[who] <= share.may_begin


@given(SLOTS, JOBS, SHARES, FLEETS)
def test_lower_classes_change_nothing_for_higher_ones(
    slots: list[Slot], jobs: list[Waiting], shares: dict[Party, Share], fleet: Fleet
) -> None:
    highest = max((job.party.priority for job in jobs), default=0)
    high = [job for job in jobs if job.party.priority == highest]

    alone, together = assign(slots, high, shares, fleet), assign(slots, jobs, shares, fleet)

    assert {one.job_id for one in alone} == {one.job_id for one in together} & {job.job_id for job in high}


@given(SLOTS, JOBS, SHARES, FLEETS)
def test_a_party_s_jobs_of_one_kind_go_in_the_order_in_which_they_came(
    slots: list[Slot], jobs: list[Waiting], shares: dict[Party, Share], fleet: Fleet
) -> None:
    """Ages follow positions in life."""
    jobs = [dataclasses.replace(job, age=300 - job.position / 10**4, number=None) for job in jobs]

    placed = {job.job_id for job, _ in paired(assign(slots, jobs, shares, fleet), jobs)}

    for late in (job for job in jobs if job.job_id in placed):
        for early in jobs:
            if early.position < late.position and alike(early) == alike(late):
                left = not any(takes(one, early, fleet) for one in slots if one.kind is not SlotKind.BUSY)
                assert early.job_id in placed or left or waits_for_warm(early, slots)


@given(SLOTS, JOBS, SHARES, FLEETS)
def test_numbers_say_which_jobs_of_a_party_begin_and_never_how_many(
    slots: list[Slot], jobs: list[Waiting], shares: dict[Party, Share], fleet: Fleet
) -> None:
    jobs = [dataclasses.replace(job, lane="", requirement_id=0, avoid=frozenset(), vram_over=0) for job in jobs]
    plain = [dataclasses.replace(job, number=None) for job in jobs]
    slots = [one for one in slots if one.kind is SlotKind.IDLE]

    numbered, without = assign(slots, jobs, shares, fleet), assign(slots, plain, shares, fleet)

    begun = {job.job_id for job, _ in paired(numbered, jobs)}
    count = Counter(job.party for job, _ in paired(numbered, jobs))
    assert count == Counter(job.party for job, _ in paired(without, plain))
    for who, times in count.items():
        mine = sorted((job for job in jobs if job.party == who), key=turn_in_party)
        assert {job.job_id for job in mine[:times]} == begun & {job.job_id for job in mine}


@given(SLOTS, JOBS, FLEETS)
def test_no_idle_server_is_left_while_a_job_waits_unless_a_warm_one_is_free_sooner(
    slots: list[Slot], jobs: list[Waiting], fleet: Fleet
) -> None:
    jobs = [dataclasses.replace(job, avoid=frozenset(), vram_over=0) for job in jobs]

    placed = assign(slots, jobs, {}, fleet)

    used, begun = {one.slot.server_id for one in placed}, {one.job_id for one in placed}
    for left in (one for one in slots if one.kind is SlotKind.IDLE and one.server_id not in used):
        for job in jobs:
            if job.job_id not in begun and takes(left, job, fleet):
                warm_later = [one for one in slots if takes(one, job, fleet) and has(one, job, placed, jobs)]
                assert any(one.server_id != left.server_id for one in warm_later)
                assert not has(left, job, [], jobs) or any(one.server_id in used for one in warm_later)


@given(SLOTS, JOBS, SHARES, FLEETS)
def test_what_failed_a_job_is_avoided_while_another_server_could_take_it(
    slots: list[Slot], jobs: list[Waiting], shares: dict[Party, Share], fleet: Fleet
) -> None:
    for job, one in paired(assign(slots, jobs, shares, fleet), jobs):
        able = [other for other in slots if fleet.satisfies(other.server_id, job.requirement_id)]
        good = [other for other in able if large(other, job) and other.server_id not in job.avoid]
        assert not good or one.slot in good


@given(SLOTS, JOBS, SHARES, FLEETS, st.randoms())
def test_the_order_in_which_things_are_told_does_not_matter(
    slots: list[Slot], jobs: list[Waiting], shares: dict[Party, Share], fleet: Fleet, random: Random
) -> None:
    shuffled_slots, shuffled_jobs = list(slots), list(jobs)
    random.shuffle(shuffled_slots)
    random.shuffle(shuffled_jobs)

    assert assign(slots, jobs, shares, fleet) == assign(shuffled_slots, shuffled_jobs, shares, fleet)


@given(st.floats(0, 60), st.floats(0, 29), st.floats(0.1, 10), st.floats(0, 10))
def test_below_capacity_nobody_waits_over_the_bound_for_the_sake_of_warm_models(
    age: float, rivals: float, run: float, load: float
) -> None:
    """The run that would go first is counted in, so that the job begins before the bound and not after it."""
    cold, warm = waiting(1, "sdxl", age=age), waiting(2, "flux", age=rivals)

    [placed] = assign([slot(ServerId("a"), warm="flux")], [cold, warm], {}, Fleet(run=run, load=load))

    assert (placed.job_id == cold.job_id) == (age + run >= longest_wait(load))


@given(st.floats(0, 10**4), st.floats(0.001, 100), st.floats(0, 10**4))
def test_a_server_that_swapped_stays_while_its_jobs_wait_however_old_another_is(
    age: float, stay: float, rivals: float
) -> None:
    cold, warm = waiting(1, "sdxl", age=age), waiting(2, "flux", age=rivals)
    staying = dataclasses.replace(slot(ServerId("a"), warm="flux"), stay=stay)

    [placed] = assign([staying], [cold, warm], {cold.party: Share(0)}, Fleet())

    assert placed.job_id == warm.job_id


@given(st.lists(st.sampled_from("abc"), min_size=1, max_size=30))
def test_equal_parties_that_wait_get_equal_parts_whoever_asks_for_more(names: list[str]) -> None:
    """One server, one job after the other: no party ever has more than one run more than one that waits."""
    jobs = [waiting(number, who=party(name)) for number, name in enumerate(names)]
    given_to: Counter[Party] = Counter()
    while jobs:
        shares = {who: Share(3.0 * runs) for who, runs in given_to.items()}

        [placed] = assign([slot(ServerId("a"))], jobs, shares, Fleet())

        [(job, _)] = paired([placed], jobs)
        given_to[job.party] += 1
        jobs.remove(job)
        assert all(given_to[job.party] <= given_to[other.party] + 1 for other in jobs)


@given(st.floats(0, 1e6), st.floats(0, 1e6))
def test_a_rest_is_never_negative_and_an_overdue_run_is_not_soon_over(expected: float, elapsed: float) -> None:
    rest = expected_rest(expected, elapsed)

    assert rest is not None
    assert rest >= 0
    assert elapsed <= expected or rest >= elapsed / 4


def paired(placed: list[Placement], jobs: list[Waiting]) -> list[tuple[Waiting, Placement]]:
    by_id = {job.job_id: job for job in jobs}
    return [(by_id[one.job_id], one) for one in placed]


def alike(job: Waiting) -> tuple[object, ...]:
    return (job.party, job.lane, job.requirement_id, job.avoid, job.vram_over)


def takes(one: Slot, job: Waiting, fleet: Fleet) -> bool:
    return fleet.satisfies(one.server_id, job.requirement_id)


def large(one: Slot, job: Waiting) -> bool:
    return not one.vram or one.vram > job.vram_over


def has(one: Slot, job: Waiting, placed: list[Placement], jobs: list[Waiting]) -> bool:
    """Whether this server has the job's models, or will have them by what was placed there or holds its place."""
    mine = {other.lane for other, placement in paired(placed, jobs) if placement.slot == one}
    return not job.lane or job.lane in one.warm | mine or one.kind is SlotKind.AHEAD


def waits_for_warm(job: Waiting, slots: list[Slot]) -> bool:
    """Whether a server that has its models may take it later, or one that is soon free keeps it a place."""
    return any(not job.lane or job.lane in one.warm or one.kind is SlotKind.AHEAD for one in slots)
