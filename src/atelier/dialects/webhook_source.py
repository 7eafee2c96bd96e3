"""What webhooks tell of a job is what its owner would be shown: the same words, with links that last longer."""

import dataclasses
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from atelier.accounts.model import Caller, Role
from atelier.dialects import batches_wire, jobs_v1
from atelier.dialects.auth import Call
from atelier.dialects.services import Services
from atelier.jobs import batches
from atelier.jobs.batches import Batch
from atelier.jobs.model import JobState
from atelier.jobs.recipe import Webhook
from atelier.jobs.store import announced
from atelier.jobs.store.announced import Announced
from atelier.kit.database import Tx
from atelier.kit.ids import AccountId, JobId, KeyId
from atelier.webhooks import rules
from atelier.webhooks.model import Asked, Event, Happening

_EVENTS = {
    JobState.RUNNING: Event.RUNNING,
    JobState.SUCCEEDED: Event.SUCCEEDED,
    JobState.FAILED: Event.FAILED,
    JobState.CANCELED: Event.CANCELED,
    JobState.EXPIRED: Event.EXPIRED,
}
_NO_KEY = KeyId(uuid.UUID(int=0))


@dataclass(frozen=True, slots=True)
class JobSource:
    """`base` is the address that links begin with. They work until the last try of a message is over."""

    services: Services
    base: str

    async def happened(self, tx: Tx, job_id: uuid.UUID, seq: int) -> tuple[Happening, ...]:
        told = await announced.event(tx, JobId(job_id), seq)
        event = _EVENTS.get(told.state) if told else None
        if told is None or event is None:
            return ()
        of_job = Happening(told.account_id, event, job_id, told.at, _asked(told, event))
        over = told.state.terminal and told.batch_id and await batches.ended(tx, told.batch_id)
        return (of_job, _of_batch(over, told)) if over else (of_job,)

    async def data(self, tx: Tx, happening: Happening) -> Mapping[str, Any]:
        if happening.event is Event.COMPLETED:
            batch = await batches.read(tx, happening.account_id, happening.about)
            return batches_wire.listed(batch, self.base)
        return await jobs_v1.spelled(
            tx, self._call(happening.account_id), happening.account_id, JobId(happening.about)
        )

    def _call(self, account_id: AccountId) -> Call:
        """As if its owner asked."""
        seconds = int(self.services.links.seconds + rules.LASTING)
        links = dataclasses.replace(self.services.links, seconds=seconds)
        services = dataclasses.replace(self.services, links=links)
        return Call(services, Caller(account_id, _NO_KEY, Role.MEMBER), self.base)


def _of_batch(batch: Batch, told: Announced) -> Happening:
    asked = batch.webhook
    wanted = asked is not None and (not asked.events or Event.COMPLETED in asked.events)
    addresses = (_address(asked),) if asked is not None and wanted else ()
    return Happening(batch.account_id, Event.COMPLETED, batch.id, told.at, addresses)


def _asked(told: Announced, event: Event) -> tuple[Asked, ...]:
    """A batch's address is told of its jobs only where it names their events: its own end says enough."""
    of_job = [told.webhook] if told.webhook and rules.wants(told.webhook.events, event) else []
    of_batch = [told.batch_webhook] if told.batch_webhook and event in told.batch_webhook.events else []
    return tuple(_address(each) for each in (*of_job, *of_batch))


def _address(webhook: Webhook) -> Asked:
    return Asked(webhook.url, webhook.events, webhook.secret)
