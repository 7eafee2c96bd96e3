"""What a server told of a native prompt's run is stored with the end of its job, by the same transaction."""

import uuid
from dataclasses import replace

import pytest

from atelier.jobs import native, service
from atelier.jobs.model import Claim, JobError, JobState, Outcome
from atelier.jobs.prompt import Prompt, Report
from atelier.kit.ids import DispatcherId
from support.yard import Yard, made

OUTPUTS = {"9": {"images": [{"filename": "x_00001_.png", "subfolder": "", "type": "output"}]}}
META = {"9": {"node_id": "9", "display_node": "9", "parent_node": None, "real_node_id": "9"}}
START = ("execution_start", {"prompt_id": "p", "timestamp": 1})
SUCCESS = Report(OUTPUTS, (START, ("execution_success", {"prompt_id": "p", "timestamp": 2})), META)
ERROR = Report({}, (START, ("execution_error", {"prompt_id": "p", "node_id": "3"})), {})
INTERRUPTED = Report({}, (START, ("execution_interrupted", {"prompt_id": "p", "node_id": "3"})), {})
FAILED = JobError("node_execution_error", "It failed.")


@pytest.fixture
async def claim(yard: Yard) -> Claim:
    """A native prompt that runs."""
    me = await yard.dispatcher_with_server()
    return await yard.claimed(me, running=True, native_prompt_id=uuid.uuid4(), prompt=Prompt(client_id="me"))


async def reported(yard: Yard, claim: Claim) -> Report | None:
    assert claim.told is not None
    async with yard.database.transaction() as tx:
        found = await native.entry(tx, yard.account_id, claim.told.prompt_id)
    assert found is not None
    return found.report


async def end(yard: Yard, claim: Claim, report: Report | None) -> bool:
    async with yard.database.transaction() as tx:
        return await service.finish_failed(tx, claim, Outcome.FAILED, FAILED, report=report)


async def test_a_success_is_reported_with_its_outputs(yard: Yard, claim: Claim) -> None:
    await yard.keep(b"picture")

    assert await service.succeed(yard.database, claim, [made()], 0.1, SUCCESS)

    assert await reported(yard, claim) == SUCCESS
    assert (await yard.read(claim.job_id)).state is JobState.SUCCEEDED


async def test_a_run_that_is_not_ours_any_more_is_not_reported(yard: Yard, claim: Claim) -> None:
    await yard.leave(DispatcherId(await yard.value("SELECT dispatcher_id FROM leases")))
    await yard.dispatcher()

    assert not await service.succeed(yard.database, claim, [], 0.1, SUCCESS)
    assert not await end(yard, claim, ERROR)

    assert await reported(yard, claim) is None


async def test_a_job_without_a_report_has_none(yard: Yard, claim: Claim) -> None:
    await yard.keep(b"picture")

    assert await service.succeed(yard.database, claim, [made()])

    assert await reported(yard, claim) is None


async def test_a_failure_is_reported_in_the_servers_words(yard: Yard, claim: Claim) -> None:
    assert await end(yard, claim, ERROR)

    assert await reported(yard, claim) == ERROR


@pytest.mark.parametrize(("report", "kept"), [(INTERRUPTED, INTERRUPTED), (ERROR, None), (None, None)])
async def test_a_run_that_was_canceled_is_reported_as_nothing_else(
    yard: Yard, claim: Claim, report: Report | None, kept: Report | None
) -> None:
    await yard.cancel(claim.job_id)

    assert await end(yard, claim, report)

    assert (await yard.read(claim.job_id)).state is JobState.CANCELED
    assert await reported(yard, claim) == kept


async def test_the_folder_that_a_graph_asked_for_is_kept_with_its_file(yard: Yard, claim: Claim) -> None:
    await yard.keep(b"picture")
    assert await service.succeed(yard.database, claim, [replace(made(), subfolder="mine/cats")])

    [shown] = (await yard.read(claim.job_id)).outputs

    assert (shown.name, shown.subfolder) == ("picture_00001_.png", "mine/cats")
