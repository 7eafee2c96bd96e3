"""However often a sender is killed: what was to be told is told, perhaps twice, never not at all."""

import contextlib
import sys
from asyncio import create_subprocess_exec, timeout
from asyncio.subprocess import DEVNULL, Process
from collections.abc import AsyncGenerator
from pathlib import Path

from atelier.webhooks.model import State
from support.receiver import Receiver
from support.told import Office

TESTS = Path(__file__).resolve().parents[1]
PROGRAM = TESTS / "support" / "webhook_worker.py"


@contextlib.asynccontextmanager
async def sender(office: Office) -> AsyncGenerator[Process]:
    """A process that sends; killed at the end."""
    process = await create_subprocess_exec(
        *(sys.executable, PROGRAM, office.database.url),
        env={"PYTHONPATH": f"{TESTS.parent / 'src'}:{TESTS}"},
        stdin=DEVNULL,
    )
    try:
        yield process
    finally:
        await kill(process)


async def kill(process: Process) -> None:
    with contextlib.suppress(ProcessLookupError):
        process.kill()
    async with timeout(60):
        await process.wait()


async def test_what_a_killed_sender_had_in_hand_is_sent_by_the_next_under_the_same_ids(
    office: Office, told: Receiver
) -> None:
    """Killed after the posts were received and before anything was written down of them."""
    endpoint = await office.endpoint(told.url)
    messages = [await office.message(endpoint, number=number) for number in range(3)]
    told.held.clear()

    for count in (3, 6):
        async with sender(office) as process:
            await told.until(count)
            await kill(process)
    told.held.set()
    async with sender(office):
        whole = [await office.until_tried(each) for each in messages]

    ids = [each.id for each in told.received]
    assert set(ids) == {str(each) for each in messages}
    assert all(ids.count(str(each)) >= 3 for each in messages)
    assert {each.delivery.state for each in whole} == {State.DELIVERED}
    assert {each.delivery.tries for each in whole} == {1}
