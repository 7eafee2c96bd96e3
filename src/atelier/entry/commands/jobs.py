"""Jobs of one account: the newest, one in full, the end of one."""

import datetime as dt
from typing import Annotated, Any

from cyclopts import App, Parameter

from atelier.entry.commands import process
from atelier.entry.commands.keys import account_named
from atelier.entry.commands.options import A_COUNT, AccountName, Script, State
from atelier.entry.commands.printing import as_json, print_line, rows
from atelier.entry.first_key import ACCOUNT
from atelier.entry.state import database
from atelier.entry.wake import wake
from atelier.jobs import service
from atelier.jobs.model import Event, Job
from atelier.kit.database import Tx
from atelier.kit.errors import NotFound
from atelier.kit.ids import AccountId, JobId, parse_uuid

jobs = App(name="jobs")

JobName = Annotated[str, Parameter(name="job", help="The job's id.")]


@jobs.command(name="list")
def list_jobs(
    *,
    account: AccountName = ACCOUNT,
    limit: Annotated[int, Parameter(help="How many of the newest.", validator=A_COUNT)] = 20,
    script: Script = False,
    state: State = None,
) -> None:
    """List the newest jobs of an account."""

    async def show() -> None:
        async with (
            database(process.start(state_dir=state), process.announce) as opened,
            opened.transaction() as tx,
        ):
            page = await service.listing(tx, await account_named(tx, account), limit=limit)
        shown = [_row(job) if script else _line(job) for job in page.jobs]
        rows(shown, script=script, nothing=f"Account {account!r} has no jobs.")

    process.run(show())


@jobs.command
def show(job: JobName, *, account: AccountName = ACCOUNT, script: Script = False, state: State = None) -> None:
    """Show one job with its outputs, its events and its error."""

    async def tell() -> None:
        async with (
            database(process.start(state_dir=state), process.announce) as opened,
            opened.transaction() as tx,
        ):
            owner = await account_named(tx, account)
            found = await _owned(tx, owner, account, job)
            events = await service.events_after(tx, owner, found.id, 0)
        if script:
            as_json({**_whole(found), "events": [_event(each) for each in events]})
            return
        rows([_line(found)], script=False, nothing="")
        print_line("")
        rows([_step(found, each) for each in events], script=False, nothing="No events yet.")
        print_line("")
        for output in found.outputs:
            print_line(f"output {output.name}: {output.content_type}, {output.size} bytes, asset {output.id}")
        if found.error:
            print_line(f"error {found.error.code}: {found.error.message}")

    process.run(tell())


@jobs.command
def cancel(job: JobName, *, account: AccountName = ACCOUNT, state: State = None) -> None:
    """End a job: a waiting one now, a running one as soon as its server lets go of it."""

    async def end() -> None:
        async with database(process.start(state_dir=state), process.announce) as opened:
            async with opened.transaction() as tx:
                owner = await account_named(tx, account)
                found = await _owned(tx, owner, account, job)
                ended = await service.cancel(tx, owner, found.id)
            await wake(opened, f"job:{ended.id}", "cancel")
        print_line(f"{ended.id} is {ended.state.shown}")

    process.run(end())


async def _owned(tx: Tx, owner: AccountId, account: str, job: str) -> Job:
    try:
        return await service.read(tx, owner, _job_id(job))
    except service.JobNotFound as error:
        raise NotFound(f"account {account!r} has no job {job}: --account names another account") from error


def _job_id(text: str) -> JobId:
    value = parse_uuid(text)
    if value is None:
        raise NotFound(f"{text!r} is no job id: atelier jobs list shows them")
    return JobId(value)


def _row(job: Job) -> dict[str, Any]:
    return {
        "id": str(job.id),
        "state": str(job.state.shown),
        "created": job.created_at,
        "started": job.started_at,
        "finished": job.finished_at,
        "tries": job.tries,
        "outputs": len(job.outputs),
        "error": job.error.code if job.error else None,
    }


def _line(job: Job) -> dict[str, Any]:
    """What fits into a line of a terminal."""
    return {
        "id": str(job.id),
        "state": str(job.state.shown),
        "created": job.created_at,
        "took": _seconds(job.created_at, job.finished_at) if job.finished_at else None,
        "failed_tries": job.tries or None,
        "error": job.error.code if job.error else None,
    }


def _step(job: Job, event: Event) -> dict[str, Any]:
    return {"after": _seconds(job.created_at, event.created_at), "kind": event.kind, "data": dict(event.data)}


def _seconds(since: dt.datetime, until: dt.datetime) -> str:
    return f"{(until - since).total_seconds():.3f} s"


def _whole(job: Job) -> dict[str, Any]:
    outputs = [
        {"asset": str(each.id), "name": each.name, "content_type": each.content_type, "size": each.size}
        for each in job.outputs
    ]
    return {**_row(job), "outputs": outputs, "error": job.error.as_json() if job.error else None}


def _event(event: Event) -> dict[str, Any]:
    return {"seq": event.seq, "at": event.created_at, "kind": event.kind, "data": dict(event.data)}
