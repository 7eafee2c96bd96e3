"""A job that ended runs again as a new one: the same graph, inputs and labels, by the same way in as any other.

One of a workflow is made of the same again, at the price of its revision, and no part of a batch any more. It runs
in any case: who asks for it again does not want what is there.
Keys of partner nodes are forgotten when a job ends, so what needs one must be submitted anew.
"""

import dataclasses
import json
from collections.abc import Sequence
from dataclasses import dataclass

from atelier.accounts.model import Caller
from atelier.intake.generation import MILLI
from atelier.intake.service import Intake, Order
from atelier.jobs import dead_letters, details
from atelier.jobs import service as jobs
from atelier.jobs.model import IdempotencyKey, Job, NewJob
from atelier.jobs.recipe import Recipe
from atelier.jobs.store import native, reads, recipes
from atelier.kit.database import Tx
from atelier.kit.errors import Kind, Refusal
from atelier.kit.ids import AccountId, JobId

MOST_AT_ONCE = 200
"""Replays of one request: each judges a graph."""


class JobNotEnded(Refusal):
    kind = Kind.CONFLICT
    code = "job_not_ended"


@dataclass(frozen=True, slots=True)
class Replayed:
    """A dead letter and the job that runs in its place; `fresh` when this request made it."""

    job_id: JobId
    new_id: JobId
    fresh: bool


@dataclass(frozen=True, slots=True)
class Replays:
    """What became of many letters; `left` are still open, and may be asked for again."""

    replayed: tuple[Replayed, ...]
    refused: tuple[tuple[JobId, Refusal], ...]
    left: int


@dataclass(frozen=True, slots=True)
class _Old:
    """What was asked for the first time; `dead`: it is an open dead letter."""

    order: Order
    end_user: str
    dead: bool


async def retry(
    intake: Intake, caller: Caller, account_id: AccountId, job_id: JobId, idempotency: IdempotencyKey | None = None
) -> Job:
    """A new job of the account whose job that was. The caller has checked who may ask.

    A dead letter is settled by it. Raises JobNotFound, JobNotEnded, and what any submit raises: MissingAssets
    where an input is gone.
    """
    async with intake.database.autocommit() as tx:
        old = await _old(tx, account_id, job_id)
    new = await _prepared(intake, caller, account_id, old, idempotency)
    if old.dead:
        new_id = (await _settled(intake, job_id, new)).new_id
        async with intake.database.autocommit() as tx:
            return await jobs.read(tx, account_id, new_id)
    return await intake.enter(new)


async def replay(intake: Intake, caller: Caller, account_id: AccountId | None, job_id: JobId) -> Replayed:
    """A new job for a dead letter of this account (None: of any); whoever asks twice gets the same one.

    Raises LetterNotFound, LetterSettled, and what any submit raises.
    """
    async with intake.database.autocommit() as tx:
        letter = await dead_letters.read(tx, account_id, job_id)
        if letter.replayed_as:
            return Replayed(job_id, letter.replayed_as, fresh=False)
        old = await _old(tx, letter.account_id, job_id)
    return await _settled(intake, job_id, await _prepared(intake, caller, letter.account_id, old))


async def replay_many(
    intake: Intake,
    caller: Caller,
    account_id: AccountId | None,
    *,
    ids: Sequence[JobId] | None,
    code: str | None = None,
) -> Replays:
    """Replay those named, or (None) the newest open ones, each by itself; a full queue ends it early."""
    if ids is None:
        async with intake.database.autocommit() as tx:
            found = await dead_letters.page(tx, account_id, limit=MOST_AT_ONCE, code=code)
        ids = [letter.job_id for letter in found.letters]
    done: list[Replayed] = []
    refused: list[tuple[JobId, Refusal]] = []
    for job_id in dict.fromkeys(ids):
        try:
            done.append(await replay(intake, caller, account_id, job_id))
        except Refusal as refusal:
            refused.append((job_id, refusal))
            if refusal.kind is Kind.BUSY:
                break
    async with intake.database.autocommit() as tx:
        left = (await dead_letters.page(tx, account_id, limit=1, code=code)).total
    return Replays(tuple(done), tuple(refused), left)


async def _settled(intake: Intake, job_id: JobId, new: NewJob) -> Replayed:
    """The letter is settled by the transaction that makes the job: two who ask at once make one."""
    async with intake.database.transaction() as tx:
        if replayed_as := await dead_letters.claim(tx, job_id):
            return Replayed(job_id, replayed_as, fresh=False)
        accepted = await intake.accept(tx, new)
        await dead_letters.settle(tx, job_id, accepted.id)
    intake.told(new.account_id)
    return Replayed(job_id, accepted.id, fresh=True)


async def _prepared(
    intake: Intake, caller: Caller, account_id: AccountId, old: _Old, idempotency: IdempotencyKey | None = None
) -> NewJob:
    """For the account and the end user whose job it was, up to the class that the caller's key reaches."""
    owner = dataclasses.replace(caller, account_id=account_id, end_user=old.end_user)
    return await intake.prepare(owner, dataclasses.replace(old.order, idempotency=idempotency))


async def _old(tx: Tx, account_id: AccountId, job_id: JobId) -> _Old:
    """Raises JobNotFound, JobNotEnded."""
    whole = await details.whole(tx, account_id, job_id)
    if not whole.job.state.terminal:
        raise JobNotEnded("This job has not ended yet: cancel it, or wait for its end.")
    text = await reads.graph_text(tx, account_id, job_id) or "{}"
    recipe = await recipes.recipe_of(tx, account_id, job_id)
    order = Order(
        workflow=json.loads(text),
        dialect=whole.terms.dialect,
        metadata=whole.job.metadata,
        priority=whole.job.wished_priority or whole.job.priority,
        size=len(text),
        run_timeout=whole.terms.run_timeout,
        retry_of=job_id,
        prompt=await native.prompt_of(tx, job_id),
        recipe=_again(recipe) if recipe else None,
        price=MILLI * await recipes.price_of(tx, recipe.workflow_key, recipe.revision) if recipe else 0,
    )
    return _Old(order, whole.job.end_user, whole.terms.dead)


def _again(recipe: Recipe) -> Recipe:
    return dataclasses.replace(
        recipe, batch_id=None, batch_index=None, cache_key=None, cached=False, leader_id=None
    )
