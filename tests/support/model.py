"""What must be true of jobs at every moment, whoever dies, freezes or races: read from the tables alone."""

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from atelier.jobs import rules
from atelier.jobs.model import TERMINAL, Claim, JobState, Limits
from atelier.kit.database import Tx

_SEEN = """
SELECT jsonb_build_object(
    'jobs', (SELECT coalesce(jsonb_object_agg(id, to_jsonb(j)), '{}') FROM jobs j),
    'attempts', (SELECT coalesce(jsonb_object_agg(job_id || '/' || number, to_jsonb(a)), '{}') FROM attempts a),
    'leases', (SELECT coalesce(jsonb_object_agg(server_id, to_jsonb(l)), '{}') FROM leases l),
    'alive', (SELECT coalesce(jsonb_agg(id), '[]') FROM dispatchers WHERE expires_at > clock_timestamp()),
    'holds', (SELECT coalesce(jsonb_object_agg(job_id, to_jsonb(h)), '{}') FROM holds h),
    'events', (SELECT coalesce(jsonb_agg(to_jsonb(e) ORDER BY job_id, seq), '[]') FROM job_events e),
    'outputs', (SELECT coalesce(jsonb_agg(to_jsonb(o) ORDER BY asset_id), '[]') FROM outputs o),
    'keys', (SELECT coalesce(jsonb_agg(to_jsonb(k) ORDER BY key), '[]') FROM idempotency_keys k),
    'shares', (SELECT coalesce(jsonb_object_agg(priority, to_jsonb(s)), '{}') FROM shares s)
)::text
"""

HELD = frozenset({JobState.CLAIMED, JobState.RUNNING, JobState.CANCELING})


@dataclass(frozen=True, slots=True)
class Seen:
    """Everything that is committed."""

    jobs: Mapping[str, Any]
    attempts: Mapping[str, Any]
    leases: Mapping[str, Any]
    alive: list[str]
    holds: Mapping[str, Any]
    events: list[dict[str, Any]]
    outputs: list[dict[str, Any]]
    keys: list[dict[str, Any]]
    shares: Mapping[str, Any]

    @staticmethod
    def nothing() -> "Seen":
        return Seen({}, {}, {}, [], {}, [], [], [], {})

    def live(self, job_id: str) -> list[dict[str, Any]]:
        return [one for one in self.attempts.values() if one["job_id"] == job_id and one["state"] != "ended"]


async def look(observer: Tx) -> Seen:
    row = await (await observer.execute(_SEEN)).fetchone()
    assert row is not None
    return Seen(**json.loads(row[0]))


def check_moment(seen: Seen) -> None:
    """What is true at any moment."""
    for job_id, job in seen.jobs.items():
        _check_attempts(seen, job_id, job)
        _check_events(seen, job_id, job)
        _check_hold(seen, job_id, JobState(job["state"]))
    for attempt in seen.attempts.values():
        if attempt["state"] != "ended":
            assert attempt["fence"] == seen.leases[attempt["server_id"]]["fence"], (
                "an attempt that its lease left behind"
            )
    for key in seen.keys:
        assert key["job_id"] in seen.jobs, "a key without its job"


def check_charges(seen: Seen, base: float, cost: float) -> None:
    """Every claim was charged once, to the class of its job. All jobs are of one account and cost the same."""
    claimed = Counter(seen.jobs[one["job_id"]]["priority"] for one in seen.attempts.values())
    given = {int(priority): share["virtual_time"] for priority, share in seen.shares.items()}
    assert given == {priority: base + cost * times for priority, times in claimed.items()}, "charged wrongly"


def check_limits(seen: Seen, limits: Limits) -> None:
    """No more jobs are on servers than may be; all are of one account."""
    there = sum(JobState(job["state"]) in HELD for job in seen.jobs.values())
    for most in (limits.in_all, limits.per_account):
        assert not most or there <= most, f"{there} jobs are on servers, {most} may be"


def check_step(before: Seen, after: Seen) -> None:
    """What is true of any two moments that one commit lies between."""
    assert before.jobs.keys() <= after.jobs.keys(), "a job is lost"
    for job_id, was in before.jobs.items():
        now = after.jobs[job_id]
        change = JobState(was["state"]), JobState(now["state"])
        assert change[0] == change[1] or rules.may_follow(*change), f"{change[0]} became {change[1]}"
        assert change[0] not in TERMINAL or was == now, "an end was changed"
    for server_id in before.leases:
        _check_lease(before, after, server_id)
    for name in before.attempts:
        _check_attempt(before, after, name)
    for job_id, was in before.holds.items():
        assert was["state"] == "held" or was == after.holds[job_id], "a hold was settled twice"


def check_commit(claim: Claim, done: object, before: Seen, after: Seen) -> None:
    """Who is told that it did something was the holder; who is told no changed nothing."""
    if not done:
        assert before == after, "a refused step changed something"
        return
    attempt = before.attempts[f"{claim.job_id}/{claim.number}"]
    assert attempt["state"] != "ended", "an attempt ended twice"
    assert attempt["fence"] == claim.fence, "an old fence changed something"
    others = {job_id: job for job_id, job in after.jobs.items() if job_id != str(claim.job_id)}
    assert others == {job_id: before.jobs[job_id] for job_id in others}, "another job was changed"


def check_end(seen: Seen) -> None:
    """When everything that can go on has gone on, everything has ended."""
    for job in seen.jobs.values():
        assert JobState(job["state"]) in TERMINAL, f"a job stays {job['state']} for ever"


def _check_lease(before: Seen, after: Seen, server_id: str) -> None:
    was, now = before.leases[server_id], after.leases[server_id]
    assert was["fence"] <= now["fence"], "a fence shrank"
    if now["dispatcher_id"] not in {was["dispatcher_id"], None}:
        assert was["fence"] < now["fence"], "a server changed hands under the old fence"
        assert was["dispatcher_id"] not in before.alive, "a server was taken from a living dispatcher"


def _check_attempt(before: Seen, after: Seen, name: str) -> None:
    """A loss is counted when, and only when, the attempt passes from a dead dispatcher to another."""
    was, now = before.attempts[name], after.attempts[name]
    assert was["fence"] <= now["fence"], "a fence shrank"
    assert was["state"] != "ended" or was == now, "an ended attempt was changed"
    if was["state"] != "ended":
        job_id, server_id = was["job_id"], was["server_id"]
        counted = after.jobs[job_id]["dispatcher_losses"] - before.jobs[job_id]["dispatcher_losses"]
        lost = was["fence"] < now["fence"] and before.leases[server_id]["dispatcher_id"] is not None
        assert counted == lost, "losses are counted wrongly"


def _check_attempts(seen: Seen, job_id: str, job: Mapping[str, Any]) -> None:
    live = seen.live(job_id)
    wanted = 1 if JobState(job["state"]) in HELD else 0
    assert len(live) == wanted, f"a job that is {job['state']} has {len(live)} live attempts"
    numbers = sorted(one["number"] for one in seen.attempts.values() if one["job_id"] == job_id)
    assert numbers == list(range(1, job["attempt"] + 1)), "attempts are not counted through"
    assert job["state"] != "claimed" or live[0]["state"] == "claimed", "what runs is not told"
    assert job["tries"] <= rules.MAX_TRIES
    assert job["server_deaths"] <= rules.MAX_SERVER_DEATHS


def _check_events(seen: Seen, job_id: str, job: Mapping[str, Any]) -> None:
    events = [event for event in seen.events if event["job_id"] == job_id]
    assert [event["seq"] for event in events] == list(range(1, job["event_seq"] + 1)), "the log has a hole"
    ends = [event["seq"] for event in events if event["terminal"]]
    ended = JobState(job["state"]) in TERMINAL
    assert ends == ([job["event_seq"]] if ended else []), "an end is told once, last, and when it is true"
    assert (job["finished_at"] is not None) == ended
    assert not ended or events[-1]["data"]["state"] == job["state"], "the log tells another end"
    made = [output for output in seen.outputs if output["job_id"] == job_id]
    told = [event for event in events if event["kind"] == "output"]
    assert len(made) == len(told), "outputs and their events differ"
    assert not made or job["state"] == "succeeded", "outputs of a job that did not succeed"


def _check_hold(seen: Seen, job_id: str, state: JobState) -> None:
    hold = seen.holds[job_id]
    if state is JobState.SUCCEEDED:
        assert (hold["state"], hold["captured"]) == ("captured", hold["amount"]), "a success without its capture"
    else:
        wanted = "released" if state in TERMINAL else "held"
        assert (hold["state"], hold["captured"]) == (wanted, 0), f"the hold of a {state} job is {hold['state']}"
