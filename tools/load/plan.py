"""How many users come for how long, what they do, and what is put in their servers' way."""

from dataclasses import dataclass

SERVERS = 4
API_PROCESSES = 2


@dataclass(frozen=True, slots=True)
class Plan:
    """Seconds everywhere. Everything that is left to chance follows from `seed`.

    A user waits about `think` between two jobs; `canceled` of all jobs are canceled soon after their submit;
    `bursts` of the turns ask for `burst` jobs at once. A job's run takes no time or one `step`. `queued` of an
    account's jobs may wait: beyond that is a 429. Something happens to a server about every `weather`.
    """

    users: int
    seconds: float
    seed: int = 1
    think: float = 2.5
    step: float = 0.1
    canceled: float = 0.05
    bursts: float = 0.02
    burst: int = 12
    queued: int = 15
    weather: float = 5.0

    @property
    def accounts(self) -> int:
        """Some ten users share one, and so its bounds."""
        return max(self.users // 10, 2)

    @property
    def warm_up(self) -> float:
        """Until then memory is not judged: caches fill and pools grow."""
        return min(self.seconds / 4, 60.0)

    @property
    def memory_bound(self) -> float:
        """MiB by which a process may grow after the warm-up, by the line through all that was seen."""
        return 10.0

    @property
    def patience(self) -> float:
        """How long a user waits for the end of a job before it counts as lost."""
        return 90.0
