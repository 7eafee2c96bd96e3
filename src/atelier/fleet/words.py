"""Numbers as people say them."""

from collections.abc import Sequence


def span(seconds: float) -> str:
    """Seconds as people say them: `40 s`, `3 min`, `24 h`."""
    if seconds < 120:
        return f"{max(round(seconds), 1)} s"
    if seconds < 7200:
        return f"{round(seconds / 60)} min"
    return f"{round(seconds / 3600)} h"


def jobs(count: int) -> str:
    return "1 job" if count == 1 else f"{count} jobs"


def joined(words: Sequence[str]) -> str:
    """`a, b and c`."""
    return " and ".join([", ".join(words[:-1]), words[-1]]) if len(words) > 1 else "".join(words)
