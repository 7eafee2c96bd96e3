"""What waits for a slow reader is bounded, in order, and newest where only the newest matters."""

from hypothesis import given
from hypothesis import strategies as st

from atelier.dialects.comfyui import outbox
from atelier.dialects.comfyui.outbox import Outbox


def drained(box: Outbox) -> list[str | bytes]:
    found: list[str | bytes] = []
    while (message := box.take()) is not None:
        found.append(message)
    return found


def test_messages_leave_in_the_order_in_which_they_came() -> None:
    box = Outbox()
    for number in range(10):
        box.put(str(number), "progress" if number % 2 else None)

    found = drained(box)

    assert found == [str(number) for number in range(10)]
    assert len(box) == 0


def test_a_reader_that_is_behind_gets_every_state_and_the_newest_look_of_each_kind() -> None:
    box = Outbox()
    for number in range(1_000):
        box.put(f"state {number}")
        box.put(f"look {number}", "a")
        box.put(f"glance {number}", "b")

    found = drained(box)

    assert [message for message in found if str(message).startswith("state")] == [
        f"state {number}" for number in range(1_000)
    ]
    assert found[-2:] == ["look 999", "glance 999"]
    assert len(found) < 1_000 + 2 * outbox.CROWDED_MESSAGES


def test_a_look_that_finds_no_room_is_lost_and_the_states_stay() -> None:
    box = Outbox()
    for number in range(outbox.MAX_MESSAGES):
        assert box.put(f"state {number}")

    assert box.put("look", "a")
    assert len(box) == outbox.MAX_MESSAGES


def test_a_state_that_finds_no_room_is_told_so() -> None:
    box = Outbox()
    for number in range(outbox.MAX_MESSAGES):
        box.put(f"state {number}")

    assert not box.put("one more")


def test_looks_make_room_for_states() -> None:
    box = Outbox()
    half = b"." * (outbox.MAX_BYTES // 2)
    box.put(half, "a")
    box.put("state")

    assert box.put(half + half[:-1024])
    assert box.take() == "state"


def test_one_message_always_has_room() -> None:
    box = Outbox()

    assert box.put(b"." * (outbox.MAX_BYTES + 1))


@given(st.lists(st.tuples(st.sampled_from([None, "a", "b", "take"]), st.integers(0, 400_000)), max_size=200))
def test_no_state_is_lost_and_none_overtakes_another(acts: list[tuple[str | None, int]]) -> None:
    box, states, found = Outbox(), list[bytes](), list[str | bytes | None]()
    for number, (key, size) in enumerate(acts):
        message = number.to_bytes(4, "big") + b"." * size
        if key == "take":
            found.append(box.take())
        elif box.put(message, key) and key is None:
            states.append(message)
    found += drained(box)

    told = [message for message in found if isinstance(message, bytes)]
    assert [message for message in told if message in states] == states
    assert [message[:4] for message in told] == sorted(message[:4] for message in told)
    assert box._bytes == 0
