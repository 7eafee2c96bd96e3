"""What is true of every accepted job once all have ended, whatever happened on the way; breaks are sentences."""

import uuid
from collections import Counter
from collections.abc import Sequence

from tools.chaos.facts import EventFact, Facts

SETTLED = {"succeeded": "captured", "failed": "released", "canceled": "released", "expired": "released"}


def of_the_database(facts: Facts) -> list[str]:
    """All that the rows alone can break."""
    return [*unfinished(facts), *told_once(facts), *charged_once(facts), *made_once(facts), *attempts_over(facts)]


def unfinished(facts: Facts) -> list[str]:
    """Every job has one terminal state."""
    return [f"job {job.id} is still {job.state}" for job in facts.jobs if job.state not in SETTLED]


def told_once(facts: Facts) -> list[str]:
    """Events are numbered from 1 without a gap, and only the last of a job tells its end."""
    told: dict[uuid.UUID, list[EventFact]] = {job.id: [] for job in facts.jobs}
    for event in facts.events:
        told.setdefault(event.job_id, []).append(event)
    broken: list[str] = []
    for job in facts.jobs:
        found = [(event.seq, event.terminal) for event in told[job.id]]
        if found != [(seq, seq == job.event_seq) for seq in range(1, job.event_seq + 1)]:
            broken.append(f"job {job.id} has the events {found} up to {job.event_seq}")
        elif told[job.id][-1].data.get("state") != job.state:
            broken.append(f"job {job.id} is {job.state}, its last event says {told[job.id][-1].data}")
    return broken


def charged_once(facts: Facts) -> list[str]:
    """A hold is captured for a success, at most once and at most in full, and released for everything else."""
    holds = {hold.job_id: hold for hold in facts.holds}
    broken: list[str] = []
    for job in facts.jobs:
        hold = holds.get(job.id)
        if hold is None or hold.state != SETTLED.get(job.state):
            broken.append(f"job {job.id} is {job.state}, its hold {hold.state if hold else 'is not there'}")
        elif hold.captured > (hold.amount if hold.state == "captured" else 0):
            broken.append(f"job {job.id}: {hold.captured} of {hold.amount} were captured")
    return broken


def made_once(facts: Facts) -> list[str]:
    """A success has its one output, anything else has none."""
    outputs = Counter(facts.outputs)
    wanted = {job.id: int(job.state == "succeeded") for job in facts.jobs}
    return [
        f"job {job.id} is {job.state} with {outputs[job.id]} outputs"
        for job in facts.jobs
        if outputs[job.id] != wanted[job.id]
    ]


def attempts_over(facts: Facts) -> list[str]:
    """No attempt lives on, and the one success of a job is its last attempt."""
    broken: list[str] = []
    by_job = facts.attempts_of()
    for job in facts.jobs:
        outcomes = [attempt.outcome for attempt in by_job[job.id]]
        if None in outcomes:
            broken.append(f"job {job.id} has ended and an attempt of it lives: {outcomes}")
        if outcomes.count("succeeded") != int(job.state == "succeeded"):
            broken.append(f"job {job.id} is {job.state} after {outcomes}")
    return broken


def accepted_once(facts: Facts, numbers: Sequence[int]) -> list[str]:
    """There is one job for each that a client asked for, and no other."""
    found = Counter(job.number for job in facts.jobs)
    wanted = {str(number) for number in numbers}
    broken = [
        f"{found[number]} jobs were made for number {number}" for number in sorted(wanted) if found[number] != 1
    ]
    return broken + [f"nobody asked for job {number}" for number in found if number not in wanted]
