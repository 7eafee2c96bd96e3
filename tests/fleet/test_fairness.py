"""Shares follow weights whatever comes and goes; idling earns nothing, and two who decide decide alike."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st

from atelier.fleet.fairness import CREDIT, Standing, bases, shares
from atelier.fleet.model import Party, Share
from atelier.kit.ids import AccountId, new_uuid

ACCOUNT = AccountId(new_uuid())
LONGEST = 10.0
"""Seconds of the longest job in these tests."""


def party(name: str, priority: int = 5) -> Party:
    return Party(priority, ACCOUNT, name)


@dataclass(slots=True)
class Book:
    """The table of shares and the claim, as the database has them."""

    weights: Mapping[str, float]
    times: dict[Party, float] = field(default_factory=dict[Party, float])
    started: dict[Party, float] = field(default_factory=dict[Party, float])
    served: dict[str, float] = field(default_factory=dict[str, float])

    def standings(self, names: Iterable[str]) -> list[Standing]:
        clock = max(self.started.values(), default=0.0)
        return [
            Standing(party(name), self.times.get(party(name)), clock, self.weights.get(name, 1.0))
            for name in names
        ]

    def claim(self, name: str, cost: float, base: float) -> None:
        one, weight = party(name), self.weights.get(name, 1.0)
        self.started[one] = max(self.times.get(one, base), base)
        self.times[one] = self.started[one] + cost / weight
        self.served[name] = self.served.get(name, 0.0) + cost / weight


@dataclass(slots=True)
class Dispatcher:
    """Remembers its last look; gives the next job to whoever was given least."""

    book: Book
    before: Mapping[Party, float] | None = None

    def look(self, waiting: Collection[str]) -> dict[Party, Share]:
        standings = self.book.standings(waiting)
        self.before = bases(standings, self.before)
        return shares(standings, self.before)

    def serve(self, waiting: Collection[str], cost: float) -> str:
        seen = self.look(waiting)
        one = min(seen, key=lambda each: (seen[each].virtual_time, each.end_user))
        self.book.claim(one.end_user, cost, (self.before or {})[one])
        return one.end_user


costs = st.floats(0.1, LONGEST)
weights = st.sampled_from([0.5, 1.0, 2.0, 5.0])


@settings(max_examples=60, deadline=None)
@given(
    st.lists(costs, min_size=60, max_size=120),
    weights,
    weights,
    st.lists(st.sets(st.sampled_from(["comes", "goes", "visits"])), min_size=10, max_size=10),
    st.lists(st.integers(0, 1), min_size=120, max_size=120),
)
def test_who_always_waits_is_given_its_weight_whoever_comes_and_goes_and_whoever_decides(
    lasting: list[float], one: float, other: float, others: list[set[str]], turns: list[int]
) -> None:
    book = Book({"one": one, "other": other})
    dispatchers = [Dispatcher(book), Dispatcher(book)]

    for number, cost in enumerate(lasting):
        waiting = {"one", "other"} | others[number * len(others) // len(lasting)]
        dispatchers[turns[number]].serve(waiting, cost)

    given_each = [book.served.get(name, 0.0) for name in ("one", "other")]
    assert abs(given_each[0] - given_each[1]) <= LONGEST / one + LONGEST / other


@settings(max_examples=60, deadline=None)
@given(st.lists(costs, min_size=5, max_size=200), st.lists(costs, min_size=20, max_size=60))
def test_who_comes_back_has_saved_nothing_up(while_away: list[float], since: list[float]) -> None:
    book = Book({})
    dispatcher = Dispatcher(book)
    dispatcher.serve({"idle"}, 1.0)
    for cost in while_away:
        dispatcher.serve({"busy"}, cost)
    before = dict(book.served)

    for cost in since:
        dispatcher.serve({"busy", "idle"}, cost)

    gained = {name: book.served.get(name, 0.0) - before.get(name, 0.0) for name in ("busy", "idle")}
    assert abs(gained["busy"] - gained["idle"]) <= 2 * LONGEST


@settings(max_examples=60, deadline=None)
@given(st.lists(costs, min_size=5, max_size=100))
def test_who_was_alone_is_not_punished_for_it(while_alone: list[float]) -> None:
    book = Book({})
    dispatcher = Dispatcher(book)
    for cost in while_alone:
        dispatcher.serve({"early"}, cost)

    served = [dispatcher.serve({"early", "late"}, 1.0) for _ in range(40)]

    assert served[-20:].count("early") == 10


def test_one_that_was_never_given_anything_begins_where_its_class_has_come() -> None:
    standing = Standing(party("new"), None, 700.0)

    assert bases([standing], None) == {standing.party: 700.0}
    assert bases([standing], {}) == {standing.party: 700.0}


def test_one_that_comes_back_begins_there_too_and_keeps_it_while_it_waits() -> None:
    back = Standing(party("back"), 10.0, 700.0)

    least = bases([back], {})
    later = bases([Standing(party("back"), 10.0, 750.0)], least)

    assert least == later == {back.party: 700.0}
    assert shares([back], least)[back.party].virtual_time == 700.0


def test_one_of_which_something_runs_was_not_idle() -> None:
    working = Standing(party("working"), 650.0, 700.0, on_servers=1)

    least = bases([working], {})

    assert shares([working], least)[working.party].virtual_time == 650.0


def test_one_that_stayed_is_owed_so_much_and_no_more() -> None:
    """Its jobs run on one rare server; it does not keep all others from the rest for hours."""
    rare = Standing(party("rare"), 3.0, 10_000.0, on_servers=1)

    stayed = bases([rare], bases([rare], None))

    assert stayed == {rare.party: 10_000.0 - CREDIT}


def test_a_restarted_dispatcher_takes_nobody_for_idle() -> None:
    waits = Standing(party("waits"), 680.0, 700.0)

    assert shares([waits], bases([waits], None))[waits.party].virtual_time == 680.0


def test_how_many_may_begin_is_what_the_limit_leaves() -> None:
    standings = [
        Standing(party("free"), 0.0, 0.0),
        Standing(party("some"), 0.0, 0.0, on_servers=2, most=3),
        Standing(party("full"), 0.0, 0.0, on_servers=4, most=3),
    ]

    seen = shares(standings, bases(standings, None))

    assert [seen[standing.party].may_begin for standing in standings] == [None, 1, 0]


def test_a_class_has_its_own_clock() -> None:
    high, low = Standing(party("a", 9), None, 5.0), Standing(party("a", 1), None, 900.0)

    assert bases([high, low], {}) == {high.party: 5.0, low.party: 900.0}
