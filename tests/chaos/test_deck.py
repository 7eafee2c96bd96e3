"""What a run does follows from its seed, and nothing that can be broken is forgotten."""

import itertools
from collections import Counter

from atelier.simulator import faults
from tools.chaos.deck import KINDS, drawn
from tools.chaos.orders import Sort, orders
from tools.chaos.plan import Plan


def test_the_same_seed_gives_the_same_deeds_and_jobs() -> None:
    first, second = (list(itertools.islice(drawn(5), 200)) for _ in range(2))

    assert first == second != list(itertools.islice(drawn(6), 200))
    assert orders(Plan(seed=5)) == orders(Plan(seed=5)) != orders(Plan(seed=6))


def test_every_kind_of_deed_comes_up_before_any_comes_up_too_often() -> None:
    deck = sum(kind.cards for kind in KINDS.values())

    counted = Counter(itertools.islice(drawn(1), deck))

    assert counted == {name: kind.cards for name, kind in KINDS.items()}


def test_every_fault_of_the_simulated_server_is_used() -> None:
    used = {fault for kind in KINDS.values() for fault in kind.faults}

    assert used == set(faults.KINDS)


def test_jobs_of_every_sort_are_asked_for_and_some_are_canceled() -> None:
    made = orders(Plan(seed=1))

    assert {order.sort for order in made} == set(Sort)
    assert 20 < sum(order.cancel_after is not None for order in made) < 100
