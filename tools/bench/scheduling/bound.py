"""No schedule ends earlier than this, not even one that knows all jobs before the first arrives.

Whatever the schedule, for every moment t: the jobs that arrive at t or later must be run after t, and all servers
together do no more than `servers` seconds of work in a second. For t = 0 each model that occurs must also be
loaded at least once. And a job cannot end before its arrival and its own run. The largest of these times is the
bound. It counts one loading for each model where every known schedule needs more: it may well be out of reach.
"""

from collections.abc import Sequence

from tools.bench.scheduling.machines import Costs
from tools.bench.scheduling.trace import Job


def shortest_makespan(jobs: Sequence[Job], servers: int, costs: Costs) -> float:
    """Seconds from the first moment to the end of the last job, at least."""
    loads = len({job.lane for job in jobs}) * costs.swap
    whole = (loads + sum(job.run for job in jobs)) / servers
    later, bound = 0.0, max(whole, *(job.at + job.run for job in jobs))
    for job in sorted(jobs, key=lambda job: -job.at):
        later += job.run
        bound = max(bound, job.at + later / servers)
    return bound
