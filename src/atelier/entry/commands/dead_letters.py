"""Dead letters at the command line: jobs that were given up, replayed or discarded."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

from cyclopts import App, Parameter

from atelier.entry import by_hand
from atelier.entry.commands import job_rows, process
from atelier.entry.commands.keys import account_named
from atelier.entry.commands.opening import opened, transaction
from atelier.entry.commands.options import A_COUNT, Script, State
from atelier.entry.commands.printing import as_json, print_line, rows
from atelier.intake import again
from atelier.intake.service import Intake
from atelier.jobs import dead_letters as letters
from atelier.jobs import details, service
from atelier.jobs.store.dead_letters import Letter
from atelier.kit.database import Tx
from atelier.kit.errors import NotFound, Refusal
from atelier.kit.ids import AccountId, JobId, parse_uuid

dead_letters = App(name="dead-letters")

Letters = Annotated[tuple[str, ...], Parameter(help="Ids of jobs, as `dead-letters list` shows them.")]
Whose = Annotated[str | None, Parameter(name="--account", help="Only those of this account.")]
Everyone = Annotated[bool, Parameter(name="--all", help="All that are open.")]
Code = Annotated[str | None, Parameter(help="With --all: only those that were given up for this reason.")]


@dead_letters.command(name="list")
def list_letters(
    *,
    account: Whose = None,
    code: Annotated[str | None, Parameter(help="Only those that were given up for this reason.")] = None,
    limit: Annotated[int, Parameter(help="How many of the newest.", validator=A_COUNT)] = 20,
    script: Script = False,
    state: State = None,
) -> None:
    """List the jobs that were given up and that nobody has replayed or discarded yet, newest first."""

    async def show() -> None:
        async with transaction(state) as tx:
            page = await letters.page(tx, await _owner(tx, account), limit=limit, code=code)
        shown = [_row(each) if script else _line(each) for each in page.letters]
        rows(shown, script=script, nothing="There are no dead letters: no job was given up.")
        if not script and page.next_cursor:
            print_line(f"{page.total} in all: --limit shows more")

    process.run(show())


@dead_letters.command
def show(
    job: Annotated[str, Parameter(help="The job's id.")],
    /,
    *,
    script: Script = False,
    state: State = None,
) -> None:
    """Show one of them with the evidence of every attempt."""

    async def tell() -> None:
        async with opened(state) as (settings, found), found.transaction() as tx:
            letter = await letters.read(tx, None, _job_id(job))
            whole = await details.whole(tx, letter.account_id, letter.job_id)
            prospect = await by_hand.outlook(settings).of(tx, whole.job)
            events = await service.events_after(tx, letter.account_id, letter.job_id, 0)
        if script:
            as_json(_row(letter) | {"job": job_rows.whole(whole, prospect, events)})
        else:
            job_rows.tell(whole, prospect, events)
            print_line(f"atelier dead-letters replay {letter.job_id}" if whole.terms.dead else "It was settled.")

    process.run(tell())


@dead_letters.command
def replay(
    jobs: Letters = (),
    /,
    *,
    everyone: Everyone = False,
    code: Code = None,
    script: Script = False,
    state: State = None,
) -> None:
    """Make a new job for each of those named, or for all; each is replayed once, however often it is asked for."""
    ids = _chosen(jobs, everyone=everyone, code=code)

    async def repeat() -> None:
        async with opened(state) as (settings, found), by_hand.intake(settings, found) as intake:
            done = await _replayed(intake, ids, code)
        if script:
            as_json([_told(each) for each in done])
            return
        rows([_told(each) for each in done], script=False, nothing="There was nothing to replay.")

    process.run(repeat())


@dead_letters.command
def discard(jobs: Letters = (), /, *, everyone: Everyone = False, code: Code = None, state: State = None) -> None:
    """Take those named, or all, from the list; their jobs stay as they ended."""
    ids = _chosen(jobs, everyone=everyone, code=code)
    process.run(_discard(ids, code, state))


async def _discard(ids: Sequence[JobId] | None, code: str | None, state: Path | None) -> None:
    async with transaction(state) as tx:
        gone = await letters.discard_many(tx, None, ids=ids, code=code)
    print_line(f"discarded {gone}")


Done = again.Replayed | tuple[JobId, Refusal]


async def _replayed(intake: Intake, ids: Sequence[JobId] | None, code: str | None) -> list[Done]:
    """Round after round while something comes of it; what is refused is told once."""
    done: list[Done] = []
    while True:
        part = await again.replay_many(intake, by_hand.OPERATOR, None, ids=ids, code=code)
        done += part.replayed
        if ids is not None or not part.replayed or not part.left or part.refused:
            return [*done, *part.refused]


def _chosen(jobs: Sequence[str], *, everyone: bool, code: str | None) -> Sequence[JobId] | None:
    """The ids, None for all. Raises Refusal."""
    if bool(jobs) == everyone:
        raise Refusal("name some jobs, or say --all: atelier dead-letters list shows them")
    if code and not everyone:
        raise Refusal("--code goes with --all")
    return None if everyone else [_job_id(job) for job in jobs]


async def _owner(tx: Tx, account: str | None) -> AccountId | None:
    return None if account is None else await account_named(tx, account)


def _job_id(text: str) -> JobId:
    value = parse_uuid(text)
    if value is None:
        raise NotFound(f"{text!r} is no job id: atelier dead-letters list shows them")
    return JobId(value)


def _row(letter: Letter) -> dict[str, Any]:
    return {
        "job": str(letter.job_id),
        "account": letter.account,
        "died": letter.died_at,
        "code": letter.code,
        "message": letter.message,
        "tries": letter.tries,
        "servers": list(letter.servers),
        "models": letter.lane,
        "replayed_as": str(letter.replayed_as) if letter.replayed_as else None,
        "settled": letter.settled_at,
    }


def _line(letter: Letter) -> dict[str, Any]:
    return {
        name: value for name, value in _row(letter).items() if name not in {"models", "replayed_as", "settled"}
    }


def _told(one: Done) -> dict[str, Any]:
    match one:
        case again.Replayed():
            said = "replayed" if one.fresh else "was replayed before"
            return {"job": str(one.job_id), "new_job": str(one.new_id), "said": said}
        case (job_id, refusal):
            return {"job": str(job_id), "new_job": None, "said": refusal.message}
