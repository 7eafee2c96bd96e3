"""Which job goes where is decided by values alone; each rule of the policy has an example here."""

import dataclasses

from atelier.fleet.model import Placement, Share, Slot, SlotKind, Waiting
from atelier.fleet.policy import UNMEASURED_RUN, assign, longest_wait, stay_after_swap
from atelier.fleet.prefetch import assign_behind, expected_rest, may_place_ahead, runs_video, worth_taking_back
from atelier.kit.ids import ServerId
from support.policy_values import KNOWN, A, B, C, Fleet, party, slot, waiting

FLUX, SDXL = "flux.safetensors", "sdxl.safetensors"


def places(placed: list[Placement]) -> list[tuple[str, str]]:
    return [(str(one.job_id), str(one.slot.server_id)) for one in placed]


def wanted(*pairs: tuple[Waiting, ServerId]) -> list[tuple[str, str]]:
    return [(str(job.job_id), str(server_id)) for job, server_id in pairs]


# Turns ------------------------------------------------------------------------------------------


def test_class_comes_before_age_share_and_warmth() -> None:
    old, urgent = waiting(1, FLUX, who=party("a")), waiting(2, SDXL, who=party("b", priority=9))
    shares = {old.party: Share(0), urgent.party: Share(1000)}

    placed = assign([slot(A, warm=FLUX)], [old, urgent], shares, KNOWN)

    assert places(placed) == wanted((urgent, A))


def test_the_party_that_was_given_least_chooses_first() -> None:
    rich, poor = waiting(1, who=party("rich")), waiting(2, who=party("poor"))

    placed = assign([slot(A)], [rich, poor], {rich.party: Share(30), poor.party: Share(10)}, KNOWN)

    assert places(placed) == wanted((poor, A))


def test_a_party_without_a_share_was_given_nothing_yet() -> None:
    known, new = waiting(1, who=party("known")), waiting(2, who=party("new"))

    placed = assign([slot(A)], [known, new], {known.party: Share(1)}, KNOWN)

    assert places(placed) == wanted((new, A))


def test_what_is_given_in_one_decision_counts_in_the_same_and_by_weight() -> None:
    heavy, light = party("heavy"), party("light")
    jobs = [waiting(number, who=heavy) for number in range(4)] + [waiting(9, who=light), waiting(10, who=light)]
    slots = [slot(ServerId(f"s{number}")) for number in range(5)]

    placed = assign(slots, jobs, {heavy: Share(0, weight=3), light: Share(0, weight=1)}, KNOWN)

    assert [job.position for job in jobs if job.job_id in {one.job_id for one in placed}] == [0, 1, 2, 3, 9]


def test_first_in_first_out_inside_a_party() -> None:
    young, old = waiting(2), waiting(1)

    assert places(assign([slot(A)], [young, old], {}, KNOWN)) == wanted((old, A))


def test_inside_a_party_the_lowest_number_goes_first_whoever_has_none_has_its_position() -> None:
    jobs = [waiting(1), waiting(2, number=-2), waiting(3, number=0.5), waiting(4, number=1), waiting(5, number=-2)]
    slots = [slot(ServerId(f"s{number}")) for number in range(3)]

    placed = assign(slots, jobs, {}, KNOWN)
    first = assign([slot(A)], [jobs[0], jobs[3]], {}, KNOWN)

    assert {one.job_id for one in placed} == {jobs[1].job_id, jobs[4].job_id, jobs[2].job_id}
    assert places(first) == wanted((jobs[0], A))


def test_a_small_number_lets_no_party_pass_another() -> None:
    old, pushing = party("old"), party("pushing")
    jobs = [waiting(1, who=old), waiting(2, who=pushing), waiting(3, who=pushing, number=-1e9)]

    equal = assign([slot(A)], jobs, {}, KNOWN)
    owed = assign([slot(A)], jobs, {old: Share(5), pushing: Share(6)}, KNOWN)
    both = assign([slot(A), slot(B)], jobs, {}, KNOWN)

    assert places(equal) == places(owed) == wanted((jobs[0], A))
    assert {one.job_id for one in both} == {jobs[0].job_id, jobs[2].job_id}


def test_end_users_behind_one_account_share_like_accounts() -> None:
    first, second = party("service", "ann"), party("service", "bob")
    jobs = [waiting(1, who=first), waiting(2, who=first), waiting(3, who=second)]

    placed = assign([slot(A), slot(B)], jobs, {}, KNOWN)

    assert places(placed) == wanted((jobs[0], A), (jobs[2], B))


def test_a_party_at_its_running_limit_lets_others_pass_also_when_it_gets_there_now() -> None:
    limited, free = party("limited"), party("free")
    jobs = [waiting(number, who=limited) for number in range(3)] + [waiting(9, who=free)]

    placed = assign([slot(A), slot(B), slot(C)], jobs, {limited: Share(may_begin=1), free: Share(100)}, KNOWN)

    assert [str(one.job_id) for one in placed] == [str(jobs[0].job_id), str(jobs[3].job_id)]


# Where it can run -------------------------------------------------------------------------------


def test_a_job_that_no_free_server_can_run_lets_others_pass() -> None:
    special, plain = waiting(1, requirement=2, who=party("a", priority=9)), waiting(2)
    fleet = Fleet(able=lambda _server, requirement: requirement == 1)

    assert places(assign([slot(A)], [special, plain], {}, fleet)) == wanted((plain, A))


def test_a_server_that_failed_a_job_is_left_out_while_another_could_take_it_even_a_busy_one() -> None:
    job = dataclasses.replace(waiting(1), avoid=frozenset({A}))

    assert places(assign([slot(A), slot(B)], [job], {}, KNOWN)) == wanted((job, B))
    assert assign([slot(A), busy(B, 60)], [job], {}, KNOWN) == []
    assert places(assign([slot(A)], [job], {}, KNOWN)) == wanted((job, A))


def test_a_job_that_ran_out_of_memory_goes_where_there_is_more_if_anywhere() -> None:
    job = dataclasses.replace(waiting(1), vram_over=24)
    small, large, unknown = (
        dataclasses.replace(slot(server_id), vram=vram) for server_id, vram in ((A, 24), (B, 48), (C, 0))
    )

    assert places(assign([small, large], [job], {}, KNOWN)) == wanted((job, B))
    assert places(assign([small, unknown], [job], {}, KNOWN)) == wanted((job, C))
    assert places(assign([small], [job], {}, KNOWN)) == wanted((job, A))


# Warm models ------------------------------------------------------------------------------------


def busy(server_id: ServerId, rest: float, warm: str = "") -> Slot:
    return dataclasses.replace(slot(server_id, rest, warm), kind=SlotKind.BUSY)


def test_a_warm_server_is_preferred() -> None:
    job = waiting(1, FLUX)

    assert places(assign([slot(A, warm=SDXL), slot(B, warm=FLUX)], [job], {}, KNOWN)) == wanted((job, B))


def test_a_server_stays_with_its_models_while_nobody_waits_too_long() -> None:
    other, same = waiting(1, SDXL, age=20), waiting(2, FLUX)

    assert places(assign([slot(A, warm=FLUX)], [other, same], {}, KNOWN)) == wanted((same, A))


def test_a_job_that_would_wait_over_the_bound_after_one_more_run_goes_first() -> None:
    same = waiting(2, FLUX)
    in_time, late = waiting(1, SDXL, age=26.9), waiting(1, SDXL, age=27)

    assert places(assign([slot(A, warm=FLUX)], [in_time, same], {}, KNOWN)) == wanted((same, A))
    assert places(assign([slot(A, warm=FLUX)], [late, same], {}, KNOWN)) == wanted((late, A))


def test_where_swaps_are_slow_the_bound_grows_with_them() -> None:
    same, other = waiting(2, FLUX), waiting(1, SDXL, age=100)

    placed = assign([slot(A, warm=FLUX)], [other, same], {}, Fleet(load=20))

    assert longest_wait(20) == 120
    assert places(placed) == wanted((same, A))


def test_after_a_swap_a_server_stays_a_while_if_jobs_for_its_models_wait() -> None:
    late, same = waiting(1, SDXL, age=100), waiting(2, FLUX)
    staying = dataclasses.replace(slot(A, warm=FLUX), stay=stay_after_swap(5))

    assert places(assign([staying], [late, same], {}, KNOWN)) == wanted((same, A))
    assert places(assign([staying], [late], {}, KNOWN)) == wanted((late, A))
    assert stay_after_swap(5) == 20


def test_above_capacity_lanes_stay_in_turn_until_one_is_far_older() -> None:
    rival = waiting(2, FLUX, age=100)

    assert places(assign([slot(A, warm=FLUX)], [waiting(1, SDXL, age=200), rival], {}, KNOWN)) == wanted(
        (rival, A)
    )
    older = waiting(1, SDXL, age=221)
    assert places(assign([slot(A, warm=FLUX)], [older, rival], {}, KNOWN)) == wanted((older, A))


def test_above_capacity_a_party_that_is_owed_much_is_not_kept_waiting_by_a_greedy_ones_warm_jobs() -> None:
    greedy, modest = waiting(1, FLUX, age=100, who=party("greedy")), waiting(2, SDXL, age=30, who=party("modest"))

    placed = assign([slot(A, warm=FLUX)], [greedy, modest], {greedy.party: Share(61)}, KNOWN)

    assert places(placed) == wanted((modest, A))


def test_a_job_is_left_to_a_busy_warm_server_that_is_free_before_a_swap_would_be_done() -> None:
    job = waiting(1, FLUX)

    assert assign([slot(A, warm=SDXL), busy(B, 4.9, FLUX)], [job], {}, KNOWN) == []
    assert places(assign([slot(A, warm=SDXL), busy(B, 5.1, FLUX)], [job], {}, KNOWN)) == wanted((job, A))


def test_only_as_many_are_left_to_a_busy_server_as_it_takes_before_a_swap_would_be_done() -> None:
    jobs = [waiting(number, FLUX) for number in range(3)]

    placed = assign([slot(A), busy(B, 1, FLUX)], jobs, {}, KNOWN)

    assert places(placed) == wanted((jobs[2], A))


def test_a_swap_pushes_out_what_is_least_missed() -> None:
    job, later = waiting(1, "new.safetensors"), [waiting(number, FLUX) for number in (2, 3, 4)]
    limited = {later[0].party: Share(may_begin=1)}
    slots = [slot(A, warm=FLUX), slot(B, warm=SDXL), slot(C, warm=SDXL)]

    assert places(assign(slots, [job, *later], limited, KNOWN)) == wanted((job, B))
    assert places(assign([*slots, slot(ServerId("d"))], [job], {}, KNOWN)) == wanted((job, ServerId("d")))


def test_a_job_without_models_pushes_nothing_out_and_begins_anywhere() -> None:
    job = waiting(1)

    [placed] = assign([slot(A, warm=FLUX)], [job], {}, KNOWN)

    assert placed.cost == 3


# Ahead of its turn ------------------------------------------------------------------------------


def test_an_idle_server_is_taken_before_one_that_is_soon_free() -> None:
    first, second, third = (waiting(number) for number in range(3))

    placed = assign([slot(A, 0.5), slot(B), slot(C, 0.1)], [first, second, third], {}, KNOWN)

    assert places(placed) == wanted((first, B), (second, C), (third, A))


def test_a_swap_is_not_placed_ahead_but_keeps_its_place() -> None:
    late, same = waiting(1, SDXL, age=40), waiting(2, FLUX)

    assert assign([slot(A, 2, warm=FLUX)], [late, same], {}, KNOWN) == []
    assert places(assign([slot(A, 2, warm=FLUX)], [same], {}, KNOWN)) == wanted((same, A))
    assert places(assign([slot(A, warm=FLUX)], [late, same], {}, KNOWN)) == wanted((late, A))


def test_a_loading_that_takes_no_time_may_be_placed_ahead() -> None:
    job = waiting(1, SDXL)

    assert places(assign([slot(A, 2, warm=FLUX)], [job], {}, Fleet(load=0.1))) == wanted((job, A))


def test_a_higher_class_keeps_a_server_that_is_soon_free_from_lower_ones() -> None:
    urgent, same = waiting(1, SDXL, who=party("a", priority=8)), waiting(2, FLUX)

    assert assign([slot(A, 2, warm=FLUX)], [urgent, same], {}, KNOWN) == []


def test_behind_a_short_job_on_an_idle_server_the_next_one_of_its_models_is_placed_at_once() -> None:
    first, other, same = waiting(1, FLUX), waiting(2, SDXL), waiting(3, FLUX)
    placed = assign([slot(A, warm=FLUX)], [first, other, same], {}, KNOWN)

    [behind] = assign_behind(placed, [first, other, same], {}, KNOWN, lambda _: 0.2)

    assert behind.job_id == same.job_id
    assert behind.slot == slot(A, 0.2, warm=FLUX)


def test_what_was_just_given_counts_for_what_is_placed_behind_it() -> None:
    limited = party("limited")
    jobs = [waiting(1, who=limited), waiting(2, who=limited)]
    shares = {limited: Share(may_begin=1)}

    placed = assign([slot(A)], jobs, shares, KNOWN)

    assert assign_behind(placed, jobs, shares, KNOWN, lambda _: 0.2) == []


def test_nothing_is_placed_behind_what_is_not_known_to_be_short_or_waits_itself() -> None:
    jobs = [waiting(1), waiting(2), waiting(3)]

    assert assign_behind(assign([slot(A)], jobs, {}, KNOWN), jobs, {}, KNOWN, lambda _: None) == []
    assert assign_behind(assign([slot(A, 0.2)], jobs, {}, KNOWN), jobs, {}, KNOWN, lambda _: 0.2) == []


def test_only_a_short_and_known_rest_is_waited_behind_and_never_a_videos() -> None:
    assert may_place_ahead(2.9, video=False)
    assert not may_place_ahead(3.0, video=False)
    assert not may_place_ahead(None, video=False)
    assert not may_place_ahead(0.1, video=True)


def test_a_prompt_is_taken_back_only_for_a_server_where_it_begins_sooner() -> None:
    assert worth_taking_back(rest=1, swap=0)
    assert not worth_taking_back(rest=0.4, swap=0)
    assert not worth_taking_back(rest=2, swap=5)


def test_the_rest_of_a_run_is_what_it_usually_takes_less_what_it_took() -> None:
    assert expected_rest(None, 5) is None
    assert expected_rest(10, 4) == 6
    assert expected_rest(10, 10) == 0


def test_moving_pictures_are_known_by_their_nodes() -> None:
    assert runs_video(["KSampler", "SaveAnimatedWEBP"])
    assert not runs_video(["KSampler", "SaveImage"])


# Words and costs --------------------------------------------------------------------------------


def test_every_placement_says_why() -> None:
    jobs = [waiting(1), waiting(2, FLUX), waiting(3, SDXL)]

    placed = [
        assign([one], [job], {}, KNOWN)[0]
        for one, job in zip((slot(B, 1.25), slot(A, warm=FLUX), slot(A, warm=FLUX)), jobs, strict=True)
    ]

    assert [one.reason for one in placed] == [
        "b is free in about 1.2 s",
        "a is idle and has flux.safetensors loaded",
        "a is idle; sdxl.safetensors is loaded there in about 5.0 s",
    ]


def test_a_placement_costs_its_run_and_its_loading() -> None:
    warm, cold = waiting(1, FLUX), waiting(2, SDXL)

    assert assign([slot(A, warm=FLUX)], [warm], {}, KNOWN)[0].cost == 3
    assert assign([slot(A, warm=FLUX)], [cold], {}, KNOWN)[0].cost == 8
    assert assign([slot(A)], [waiting(3)], {}, Fleet(run=None))[0].cost == UNMEASURED_RUN
    assert assign([slot(A)], [waiting(4, FLUX)], {}, Fleet(run=-1, load=-1))[0].cost == 0


def test_nothing_free_or_nothing_waiting_places_nothing() -> None:
    assert assign([], [waiting(1)], {}, KNOWN) == []
    assert assign([busy(A, 1)], [waiting(1)], {}, KNOWN) == []
    assert assign([slot(A)], [], {}, KNOWN) == []
