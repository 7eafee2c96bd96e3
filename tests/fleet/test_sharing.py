"""Dispatchers share what works and what does not in equal parts, and drop nothing that runs."""

from collections.abc import Iterable
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from atelier.fleet.sharing import Plan, Seat, plan
from atelier.kit.ids import ServerId

ME, OTHER = "me", "other"


def seat(name: str, **state: Any) -> Seat:
    return Seat(ServerId(name), **state)


def planned(seats: list[Seat], *, alive: Iterable[str] = (ME, OTHER), busy: Iterable[str] = ()) -> Plan:
    at_work = set(busy)
    return plan(seats, ME, list(alive), lambda server_id: server_id in at_work)


def wanted(made: Plan) -> dict[tuple[ServerId, ...], int]:
    return dict(made.wanted)


def test_a_dispatcher_alone_wants_everything() -> None:
    made = planned([seat("a", free=True), seat("b", free=True)], alive=[ME])

    assert wanted(made) == {("a", "b"): 2}
    assert made.leaving == frozenset()
    assert made.take_jobs == {"a", "b"}


def test_of_two_each_wants_half() -> None:
    assert wanted(planned([seat(name, free=True) for name in "abcd"])) == {("a", "b", "c", "d"): 2}


def test_what_another_holds_is_not_wanted() -> None:
    assert wanted(planned([seat("a"), seat("b")])) == {}


def test_who_holds_too_many_gives_the_idle_ones_first() -> None:
    made = planned([seat(name, mine=True) for name in "abcd"], busy="ac")

    assert made.leaving == {"b", "d"}
    assert made.take_jobs == {"a", "c"}


def test_a_busy_one_above_the_share_takes_no_more_jobs() -> None:
    made = planned([seat(name, mine=True) for name in "abcd"], busy="abcd")

    assert made.leaving == {"c", "d"}
    assert made.take_jobs == {"a", "b"}


def test_servers_that_work_are_shared_apart_from_those_that_do_not() -> None:
    ours = [seat(name, mine=True, works=False) for name in "abc"]
    theirs = [seat(name) for name in "xyz"]

    made = planned([*ours, *theirs, seat("w", free=True)])

    assert made.leaving == {"c"}
    assert wanted(made) == {("w",): 1}


def test_a_private_server_is_its_owners_whatever_it_holds_beside() -> None:
    private = [seat(name, owner=ME, free=True) for name in "pq"]
    shared = [seat(name, free=True) for name in "ab"]

    made = planned([*shared, *private])

    assert wanted(made) == {("a", "b"): 1, ("p", "q"): 2}
    assert made.take_jobs == {"a", "b", "p", "q"}


def test_two_dispatchers_of_one_name_share_their_private_servers() -> None:
    assert wanted(planned([seat(name, owner=ME, free=True) for name in "pq"], alive=[ME, ME])) == {("p", "q"): 1}


def test_nobody_wants_the_private_server_of_another() -> None:
    made = planned([seat("p", owner=OTHER, free=True)])

    assert wanted(made) == {}
    assert made.take_jobs == frozenset()


def test_an_orphan_is_wanted_and_gets_no_jobs() -> None:
    made = planned([seat("p", owner=OTHER, free=True, orphaned=True)])

    assert wanted(made) == {("p",): 1}
    assert made.take_jobs == frozenset()


def test_a_drained_server_is_kept_and_gets_no_jobs() -> None:
    made = planned([seat("a", mine=True, takes_jobs=False, works=False)])

    assert made.leaving == frozenset()
    assert made.take_jobs == frozenset()


def test_a_server_out_of_use_goes_when_it_is_idle() -> None:
    made = planned([seat("a", mine=True, usable=False, takes_jobs=False, works=False)], alive=[ME])

    assert made.leaving == {"a"}


@given(
    st.lists(st.tuples(st.booleans(), st.integers(0, 3)), max_size=40),
    st.integers(1, 3),
)
def test_shares_settle_and_nobody_is_left_out(servers: list[tuple[bool, int]], dispatchers: int) -> None:
    """Every dispatcher gives and takes in turn until nothing moves: all are held, in equal parts of each kind."""
    names = [f"d{number}" for number in range(dispatchers)]
    holders: list[str | None] = [names[holder - 1] if 0 < holder <= dispatchers else None for _, holder in servers]
    for _ in range(6):
        for name in names:
            seen = [
                Seat(
                    ServerId(f"{place:03}"), works=works, mine=holders[place] == name, free=holders[place] is None
                )
                for place, (works, _) in enumerate(servers)
            ]
            made = plan(seen, name, names, lambda _: False)
            for server_id in made.leaving:
                holders[int(server_id)] = None
            for free, most in made.wanted:
                for server_id in free[:most]:
                    holders[int(server_id)] = name

    for kind in (True, False):
        held = [holder for (works, _), holder in zip(servers, holders, strict=True) if works is kind]
        assert None not in held
        counts = [held.count(name) for name in names]
        assert max(counts) <= -(-len(held) // dispatchers)
