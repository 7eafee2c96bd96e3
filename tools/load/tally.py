"""What all users saw, together: every answer, every accepted job and how it ended for the one who asked."""

from collections import Counter
from dataclasses import dataclass, field


@dataclass(slots=True)
class Seen:
    """A job as its client knows it. `job_id` is empty while no answer to its submit arrived."""

    key: str
    job_id: str = ""
    status: str = ""
    cancel_asked: bool = False
    seconds: float = 0.0


@dataclass(slots=True)
class Tally:
    """`jobs` by their idempotency keys; `wrong` is what no user should ever see, in words."""

    jobs: dict[str, Seen] = field(default_factory=dict[str, Seen])
    answers: Counter[int] = field(default_factory=Counter[int])
    broken: int = 0
    downloads: int = 0
    followed: Counter[str] = field(default_factory=Counter[str])
    wrong: list[str] = field(default_factory=list[str])

    def answered(self, status: int, what: str, body: str) -> None:
        """One answer; of those with 5xx the beginning is kept."""
        self.answers[status] += 1
        if status >= 500:
            self.wrong.append(f"{status} from {what}: {body[:200]}")

    def ended(self) -> Counter[str]:
        """How many jobs ended in which way, for those who asked."""
        return Counter(job.status for job in self.jobs.values() if job.status)

    @property
    def refused(self) -> int:
        return self.answers[429]

    @property
    def failures(self) -> int:
        """Answers that say that the fault is ours."""
        return sum(count for status, count in self.answers.items() if status >= 500)

    @property
    def open(self) -> int:
        return sum(1 for job in self.jobs.values() if job.job_id and not job.status)
