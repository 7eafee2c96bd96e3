"""Jobs at the command line: the newest, one with all that is known of it, the end of one, one more of it."""

from typing import Annotated, Any

from cyclopts import App, Parameter

from atelier.entry import by_hand
from atelier.entry.commands import job_rows, process
from atelier.entry.commands.keys import account_named
from atelier.entry.commands.opening import opened
from atelier.entry.commands.options import A_COUNT, AccountName, Script, State
from atelier.entry.commands.printing import as_json, print_line, rows
from atelier.entry.first_key import ACCOUNT
from atelier.entry.wake import wake
from atelier.intake import again
from atelier.jobs import details, service
from atelier.kit.database import Tx
from atelier.kit.errors import NotFound
from atelier.kit.ids import AccountId, JobId, parse_uuid

jobs = App(name="jobs")

JobName = Annotated[str, Parameter(help="The job's id.")]
Owner = Annotated[
    str | None, Parameter(name="--account", help="Name of the account that it must belong to; any if not said.")
]


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
        async with opened(state) as (settings, found), found.transaction() as tx:
            outlook = by_hand.outlook(settings)
            page = await service.listing(tx, await account_named(tx, account), limit=limit)
            prospects = [await outlook.of(tx, job) for job in page.jobs]
        spell = job_rows.row if script else job_rows.line
        shown = [spell(job, prospect) for job, prospect in zip(page.jobs, prospects, strict=True)]
        rows(shown, script=script, nothing=f"Account {account!r} has no jobs.")

    process.run(show())


@jobs.command
def show(job: JobName, /, *, account: Owner = None, script: Script = False, state: State = None) -> None:
    """Show one job: its place, why it waits, its attempts, outputs, events and error."""

    async def tell() -> None:
        async with opened(state) as (settings, found), found.transaction() as tx:
            owner, job_id = await _owned(tx, account, job)
            whole = await details.whole(tx, owner, job_id)
            prospect = await by_hand.outlook(settings).of(tx, whole.job)
            events = await service.events_after(tx, owner, job_id, 0)
        if script:
            as_json(job_rows.whole(whole, prospect, events))
        else:
            job_rows.tell(whole, prospect, events)

    process.run(tell())


@jobs.command
def cancel(job: JobName, /, *, account: Owner = None, state: State = None) -> None:
    """End a job: a waiting one now, a running one as soon as its server lets go of it."""

    async def end() -> None:
        async with opened(state) as (_, found):
            async with found.transaction() as tx:
                ended = await service.cancel(tx, *await _owned(tx, account, job))
            await wake(found, f"job:{ended.id}", f"account:{ended.account_id}", "cancel")
        print_line(f"{ended.id} is {ended.state.shown}")

    process.run(end())


@jobs.command
def retry(job: JobName, /, *, account: Owner = None, script: Script = False, state: State = None) -> None:
    """Make a new job of one that ended: the same graph, inputs and labels, for the same account."""

    async def repeat() -> None:
        async with opened(state) as (settings, found):
            async with found.transaction() as tx:
                owner, job_id = await _owned(tx, account, job)
            async with by_hand.intake(settings, found) as intake:
                new = await again.retry(intake, by_hand.OPERATOR, owner, job_id)
            await wake(found, f"account:{owner}")
        made: dict[str, Any] = {"id": str(new.id), "retry_of": str(job_id)}
        as_json(made) if script else print_line(f"{new.id} is {new.state.shown}, a retry of {job_id}")

    process.run(repeat())


async def _owned(tx: Tx, account: str | None, job: str) -> tuple[AccountId, JobId]:
    """Whose job it is, and its id. Raises NotFound with the cure."""
    job_id = _job_id(job)
    try:
        owner = await details.owner(tx, job_id)
    except service.JobNotFound as error:
        raise NotFound(f"there is no job {job}: atelier jobs list shows an account's") from error
    if account is not None and owner != await account_named(tx, account):
        raise NotFound(f"account {account!r} has no job {job}: --account names another account")
    return owner, job_id


def _job_id(text: str) -> JobId:
    value = parse_uuid(text)
    if value is None:
        raise NotFound(f"{text!r} is no job id: atelier jobs list shows them")
    return JobId(value)
