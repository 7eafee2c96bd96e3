"""Native clients write and read numbers as Python does: places in the queue, whole numbers in queries."""

_EXACT = 2.0**53
_MOST = 10**15


def shown_number(number: float) -> float:
    """Whole numbers without a point: a client that compares texts finds the one that it was given."""
    return int(number) if abs(number) < _EXACT and number == number // 1 else number


def whole(text: str | None) -> int | None:
    """The whole number that `text` spells, None without one; larger ones are as good as 10^15.

    Raises ValueError, as the servers do.
    """
    return None if text is None else max(min(int(text), _MOST), -_MOST)
