"""How long the servers of a dead dispatcher wait for the next one, and which waits are not judged."""

import datetime as dt
from dataclasses import dataclass

from tools.chaos.leases import Loss
from tools.chaos.running import Run
from tools.chaos.site import DISPATCHERS

WOKE = "it woke before its lease was taken"


@dataclass(frozen=True, slots=True)
class TakeOver:
    """`seconds` None: never. `set_aside`: why it is shown and not judged."""

    loss: Loss
    seconds: float | None
    set_aside: str


def take_overs(run: Run) -> list[TakeOver]:
    return [_measured(run, loss) for loss in run.watch.losses]


def _measured(run: Run, loss: Loss) -> TakeOver:
    seconds = run.watch.taken(loss)
    until = loss.at + dt.timedelta(seconds=seconds or run.plan.expiry * 2)
    return TakeOver(loss, seconds, _why_aside(run, loss, until))


def _why_aside(run: Run, loss: Loss, until: dt.datetime) -> str:
    if _woke(run, loss, until):
        return WOKE
    near_the_end = loss.at + dt.timedelta(seconds=run.plan.expiry - run.plan.heartbeat)
    if run.database_hurt(near_the_end, until):
        return "PostgreSQL was away or slow"
    if all(_was_away(run, name, near_the_end, until) for name in DISPATCHERS):
        return "no dispatcher was there all the time"
    if run.watch.overloaded(loss.at, until):
        return "the machine was overloaded"
    return ""


def _was_away(run: Run, name: str, began: dt.datetime, ended: dt.datetime) -> bool:
    """Whether this dispatcher was dead, stopped, starting or frozen at some moment of that time."""
    return any(
        (deed.target == name or deed.words == f"of {name}")
        and deed.began <= ended
        and (deed.ended is None or deed.ended >= began)
        for deed in run.deeds
    )


def _woke(run: Run, loss: Loss, until: dt.datetime) -> bool:
    """A frozen one that wakes while its lease is still there renews it."""
    return any(
        loss.dispatcher in {deed.target, deed.words.removeprefix("of ")}
        and deed.kind in {"freeze_dispatcher", "late_request"}
        and deed.ended is not None
        and deed.began <= loss.at <= deed.ended <= until
        for deed in run.deeds
    )
