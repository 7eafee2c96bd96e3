"""Which job a path names, and whose it is: a member's own, for an admin anybody's; a foreign one is not found."""

import uuid
from typing import Annotated

from fastapi import Path

from atelier.accounts.model import Role
from atelier.dialects.asked import InvalidQuery
from atelier.dialects.auth import Call, require_admin
from atelier.jobs import details
from atelier.jobs import service as jobs
from atelier.kit.database import Tx
from atelier.kit.ids import AccountId, JobId, parse_uuid

JobIdText = Annotated[str, Path(json_schema_extra={"format": "uuid"})]


def job_id_of(text: str) -> JobId:
    """Raises JobNotFound for what cannot be an id of ours."""
    value = parse_uuid(text)
    if value is None:
        raise jobs.JobNotFound("There is no such job: its id is not a UUID in lower case.")
    return JobId(value)


async def owner_of(tx: Tx, call: Call, job_id: JobId) -> AccountId:
    """Whose job the caller may ask for. Raises JobNotFound."""
    if call.caller.role is Role.ADMIN:
        return await details.owner(tx, job_id)
    return call.caller.account_id


def everybody_of(call: Call, account: str | None) -> bool:
    """Whether `?account=` asks for the jobs of all accounts. Raises Forbidden, InvalidQuery."""
    if account not in {"all", "mine", None}:
        raise InvalidQuery("account is 'mine' or, for admins, 'all'.")
    if account == "all":
        require_admin(call)
    return account == "all"


def batch_of(text: str | None) -> uuid.UUID | None:
    """The batch that `?batch=` asks for. Raises InvalidQuery."""
    batch_id = parse_uuid(text) if text is not None else None
    if text is not None and batch_id is None:
        raise InvalidQuery("batch is the id of a batch: a UUID in lower case.")
    return batch_id
