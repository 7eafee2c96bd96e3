"""Which of the jobs that come runs, which takes files that are there, and which waits for another one; pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from atelier.jobs.model import JobState, NewJob
from atelier.jobs.store.cached import Found
from atelier.kit.ids import JobId

_GOING_ON = frozenset({JobState.QUEUED, JobState.CLAIMED, JobState.RUNNING})


@dataclass(slots=True)
class Plan:
    """Jobs that are not named here run, and nobody waits for them.

    `takes`: whose files a job has at once. `follows`: whom it waits for. `leads`: keys that name another job from
    now on. `raised`: leaders of the same account with a class that they should have at least.
    """

    takes: dict[JobId, JobId] = field(default_factory=dict[JobId, JobId])
    follows: dict[JobId, JobId] = field(default_factory=dict[JobId, JobId])
    leads: dict[bytes, JobId] = field(default_factory=dict[bytes, JobId])
    raised: list[tuple[JobId, int]] = field(default_factory=list[tuple[JobId, int]])


@dataclass(frozen=True, slots=True)
class Known:
    """Under the keys' locks: whom each `named` before or names since now, and those that were `found` there.

    `there`: of those that had succeeded before the locks were ours, whether all their files are there.
    """

    named: Mapping[bytes, JobId]
    found: Mapping[bytes, Found]
    there: Mapping[JobId, bool]

    def takes(self, key: bytes) -> bool:
        other = self.found.get(key)
        return other is not None and self.there.get(other.job_id, False)

    def waits(self, key: bytes) -> bool:
        """Whether there is somebody to wait for; who has just succeeded gives his files a moment later."""
        other = self.found.get(key)
        if other is None:
            return False
        just_ended = other.state is JobState.SUCCEEDED and other.job_id not in self.there
        return just_ended or other.state in _GOING_ON


def planned(many: Sequence[NewJob], keys: Mapping[JobId, bytes], known: Known) -> Plan:
    """`keys` are those of the jobs that have one."""
    plan = Plan()
    leaders = {key: job_id for key, job_id in known.named.items() if job_id in keys}
    for job in many:
        key = keys.get(job.id)
        if key is None or leaders.get(key) == job.id:
            continue
        if key in leaders:
            plan.follows[job.id] = leaders[key]
        elif known.takes(key):
            plan.takes[job.id] = known.found[key].job_id
        elif known.waits(key):
            _follow(plan, job, known.found[key])
        else:
            leaders[key] = plan.leads[key] = job.id
    return plan


def _follow(plan: Plan, job: NewJob, leader: Found) -> None:
    plan.follows[job.id] = leader.job_id
    if job.account_id == leader.account_id and job.priority > leader.priority:
        plan.raised.append((leader.job_id, job.priority))
