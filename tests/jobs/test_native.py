"""Every job of an account is a prompt of the native API, in the order and with the ids that its clients know."""

from typing import Any

import pytest

from atelier.jobs import native, service
from atelier.jobs.model import Job, Prompt
from atelier.jobs.service import DuplicatePrompt
from atelier.jobs.store import attempts
from atelier.kit.ids import AccountId, JobId, new_uuid
from support.yard import Yard


async def ask(yard: Yard, function: Any, *values: Any, **named: Any) -> Any:
    async with yard.database.autocommit() as tx:
        return await function(tx, yard.account_id, *values, **named)


async def prompted(yard: Yard, **changes: Any) -> Job:
    return await yard.submit(**({"prompt": Prompt("me", {"a": 1}, ("2",))} | changes))


async def test_smoke(yard: Yard) -> None:
    me = await yard.dispatcher_with_server()
    one = await prompted(yard)
    two = await prompted(yard, front=True)
    three = await prompted(yard, number=0.5)
    running, pending = await ask(yard, native.queue)
    assert running == []
    assert [e.prompt_id for e in pending] == [str(two.id), str(three.id), str(one.id)]
    assert [e.number for e in pending] == [-two.position, 0.5, one.position]
    assert pending[0].graph == {}
    claim = await yard.claim(me, two.id)
    assert claim.told is not None
    assert await ask(yard, native.remaining) == 3
    running, pending = await ask(yard, native.queue)
    assert running == []
    assert [e.prompt_id for e in pending] == [str(two.id), str(three.id), str(one.id)]
    assert await yard.running(claim)
    running, pending = await ask(yard, native.queue)
    assert [e.prompt_id for e in running] == [str(two.id)]
    assert len(await ask(yard, native.live)) == 3
    assert await ask(yard, native.interrupt, None) == [two.id]
    assert await ask(yard, native.drop, [str(one.id)]) == [one.id]
    async with yard.database.autocommit() as tx:
        assert await service.finish_canceled(tx, claim)
    assert [e.prompt_id for e in await ask(yard, native.history, max_items=None, offset=None)] == [str(two.id)]
    assert [e.prompt_id for e in await ask(yard, native.history, max_items=5, offset=0)] == [str(two.id)]
    assert (await ask(yard, native.entry, str(two.id))).in_history
    assert not (await ask(yard, native.entry, str(one.id))).in_history
    for d in (True, False):
        for a in (True, False):
            jobs, total = await ask(yard, native.listing, statuses=None, by_duration=d, ascending=a, limit=1, offset=0, workflow_id=None)
            assert total == 2 and len(jobs) == 1
    assert (await ask(yard, native.listing, statuses=None, by_duration=d, ascending=a, limit=1, offset=9, workflow_id=None)) == ([], 2)
    assert len(await ask(yard, native.ended, [one.id, two.id, three.id])) == 2
    await ask(yard, native.forget, [str(two.id)])
    assert await ask(yard, native.history, max_items=None, offset=None) == []
    await ask(yard, native.forget, None)
    assert await ask(yard, native.drop, None) == [three.id]
    assert await ask(yard, native.outputs_at, one.position) == []
