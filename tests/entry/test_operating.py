"""What operators do at the command line: servers, queue, dead letters, models and accounts, on a real database."""

import asyncio
import json
import uuid
from typing import Any

import pytest

from atelier.entry.commands.printing import size, span
from atelier.fleet import service as fleet
from atelier.fleet.inventory import from_object_info
from atelier.fleet.model import Health
from atelier.fleet.store import catalogs, roster
from atelier.jobs import service
from atelier.jobs.model import Cause
from atelier.kit.database import Database
from atelier.kit.ids import DispatcherId, JobId, ServerId, new_uuid
from support.graphs import picture
from support.terminal import Terminal
from support.yard import Yard, make_yard

NOTHING: dict[str, Any] = {"EmptyImage": {"input": {}}, "SaveImage": {"input": {}}}


@pytest.fixture
def away(terminal: Terminal, database_url: str) -> Terminal:
    return Terminal(terminal.folder, terminal.environ | {"ATELIER_DATABASE_URL": database_url})


@pytest.fixture
async def yard(database: Database) -> Yard:
    return await make_yard(database)


async def rows(terminal: Terminal, *words: str) -> list[dict[str, object]]:
    ended = await terminal.run(*words, "--json")
    assert ended.code == 0, ended.err
    found: list[dict[str, object]] = json.loads(ended.out)
    return found


async def dead_letter(yard: Yard, me: DispatcherId) -> JobId:
    """A real graph whose server died twice."""
    job = await yard.submit(graph_text=json.dumps(picture()), graph_digest=new_uuid().bytes)
    for number in (1, 2):
        claim = await yard.claim(me, job.id, number=number)
        async with yard.database.transaction() as tx:
            await service.finish_retriable(tx, claim, Cause.SERVER_LOST, was_running=True)
    return job.id


async def test_a_server_is_set_drained_switched_off_and_shown(away: Terminal, yard: Yard) -> None:
    await away.run("servers", "add", "gpu:8188", "--id", "gpu", "--share", "0.1", "--max-per-minute", "30")

    changes = [
        await away.run("servers", *words, "gpu")
        for words in (("drain",), ("resume",), ("disable",), ("enable",), ("drain",), ("probe",))
    ]
    changed = await away.run("servers", "set", "gpu", "--run-timeout", "90s", "--max-per-minute", "default")
    shown = await away.run("servers", "show", "gpu")
    whole = json.loads((await away.run("servers", "show", "gpu", "--json")).out)

    assert [ended.code for ended in (*changes, changed, shown)] == [0] * 8
    assert "as soon as one takes it" in changes[-1].out
    assert all(words in shown.out for words in ("canary: 10%", "drained", "runs at most 1 min 30 s"))
    assert (whole["max_per_minute"], whole["run_timeout"], whole["drain"]) == (None, 90.0, True)
    assert {event["kind"] for event in whole["events"]} >= {
        "add",
        "drain",
        "resume",
        "disable",
        "enable",
        "probe_asked",
    }


async def test_servers_are_listed_with_what_matters(away: Terminal, yard: Yard) -> None:
    device = {"name": "cuda:0 NVIDIA RTX 4090", "type": "cuda", "vram_total": 24 << 30, "vram_free": 20 << 30}
    async with yard.database.transaction() as tx:
        await fleet.add(tx, "http://gpu:8188", server_id="gpu")
        await catalogs.save_inventory(tx, ServerId("gpu"), from_object_info(NOTHING), {"devices": [device]})
        await roster.save_health(tx, ServerId("gpu"), Health.DEGRADED, "its WebSocket is blocked")

    listed = await away.run("servers", "list")

    assert all(words in listed.out for words in ("degraded", "its WebSocket is blocked", "NVIDIA RTX 4090"))
    assert "20.0 GiB of 24.0 GiB free" in listed.out


REFUSED = {
    ("servers", "drain", "nope"): "There is no server nope",
    ("servers", "set", "gpu"): "--url, --header, --share",
    ("servers", "set", "gpu", "--run-timeout", "soon"): "write a duration like",
    ("servers", "set", "gpu", "--max-per-minute", "many"): "write a whole number",
    ("queue", "clean", "--older-than", "1d", "--ended", "running"): "write canceled, expired, failed",
    ("dead-letters", "replay"): "say --all",
    ("dead-letters", "discard", "x"): "atelier dead-letters list",
    ("jobs", "retry", str(uuid.UUID(int=7))): "atelier jobs list",
    ("models", "verify", "sd15"): "atelier models list",
    ("accounts", "set", "nobody", "--weight", "2"): "atelier accounts list",
}


async def test_what_cannot_be_is_one_sentence_with_the_cure(away: Terminal) -> None:
    await away.run("migrate")

    ended = await asyncio.gather(*(away.run(*words) for words in REFUSED))

    for done, cure in zip(ended, REFUSED.values(), strict=True):
        assert done.code == 1
        assert cure in done.err
        assert done.err.splitlines()[-1].startswith("atelier: ")


async def test_the_queue_is_told_in_tables_and_cleaned_up(away: Terminal, yard: Yard) -> None:
    empty = await away.run("queue")
    await yard.submit(lane="sd15.safetensors")
    old = await yard.submit()
    await yard.cancel(old.id)
    await yard.run("UPDATE jobs SET finished_at = now() - interval '8 days' WHERE finished_at IS NOT NULL")

    told = await away.run("queue", ATELIER_MAX_RUNNING="3")
    figures = json.loads((await away.run("queue", "--json")).out)
    cleaned = await away.run("queue", "clean", "--older-than", "7d")

    assert "Nothing waits and nothing runs." in empty.out
    assert all(words in told.out for words in ("ACCOUNTS", "tester", "sd15.safetensors", "running at most"))
    assert figures["all"][0]["waiting"] == 1
    assert cleaned.out == "deleted 1 job\n"


async def test_a_job_tells_its_place_its_attempts_and_is_tried_again(away: Terminal, yard: Yard) -> None:
    waiting = await yard.submit()
    dead = await dead_letter(yard, await yard.dispatcher_with_server())

    place = await away.run("jobs", "show", str(waiting.id))
    attempts = await away.run("jobs", "show", str(dead))
    retried = await away.run("jobs", "retry", str(dead), "--json")
    new = await away.run("jobs", "show", json.loads(retried.out)["id"], "--json")
    foreign = await away.run("keys", "create", "--account", "other")
    refused = await away.run("jobs", "show", str(dead), "--account", "other")

    assert "0 before it" in place.out
    assert attempts.out.count("server-1") >= 2
    assert "open: atelier dead-letters replay" in attempts.out
    assert json.loads(new.out)["retry_of"] == str(dead)
    assert (foreign.code, refused.code) == (0, 1)
    assert "--account names another account" in refused.err


async def test_dead_letters_are_listed_shown_replayed_and_discarded(away: Terminal, yard: Yard) -> None:
    none = await away.run("dead-letters", "list")
    me = await yard.dispatcher_with_server()
    first, second = await dead_letter(yard, me), await dead_letter(yard, me)

    listed = await rows(away, "dead-letters", "list", "--code", "poison")
    shown = await away.run("dead-letters", "show", str(first))
    replayed = await rows(away, "dead-letters", "replay", str(first))
    again = await rows(away, "dead-letters", "replay", str(first))
    discarded = await away.run("dead-letters", "discard", "--all")

    assert "no job was given up" in none.out
    assert {row["job"] for row in listed} == {str(first), str(second)}
    assert f"atelier dead-letters replay {first}" in shown.out
    assert (replayed[0]["new_job"], again[0]["said"]) == (again[0]["new_job"], "was replayed before")
    assert discarded.out == "discarded 1\n"


async def test_models_are_listed_and_verified(away: Terminal, yard: Yard) -> None:
    none = await away.run("models", "list")
    async with yard.database.transaction() as tx:
        for name in ("one", "two"):
            await fleet.add(tx, f"http://{name}:1", server_id=name)
        files = {"checkpoints": {"sd15.safetensors": 4 << 30}}
        await catalogs.save_inventory(tx, ServerId("one"), from_object_info(NOTHING, files), {})

    listed = await away.run("models", "list")
    there = await away.run("models", "verify", "sd15.safetensors")
    missing = await away.run("models", "verify", "sd51.safetensors")

    assert "There is no server yet" in none.out
    assert all(words in listed.out for words in ("4.0 GiB", "1 of 2", "1 of 2 servers have not told"))
    assert there.out == "sd15.safetensors exists on 1 of 2 servers, in checkpoints. Which: one.\n"
    assert missing.code == 1
    assert "Did you mean sd15.safetensors?" in missing.out


async def test_accounts_are_made_weighed_and_limited(away: Terminal) -> None:
    none = await away.run("accounts", "list")
    made = await away.run("accounts", "create", "studio", "--weight", "2")
    limited = await away.run("accounts", "set", "studio", "--max-running", "5")
    freed = await away.run("accounts", "set", "studio", "--max-running", "default", "--weight", "0.5")
    [listed] = await rows(away, "accounts", "list")
    again = await away.run("accounts", "create", "studio")

    assert "atelier accounts create NAME" in none.out
    assert (made.code, limited.out) == (0, "'studio': weight 2, running at once: 5\n")
    assert freed.out == "'studio': weight 0.5, running at once: the setting's\n"
    assert (listed["name"], listed["weight"], listed["max_running"]) == ("studio", 0.5, None)
    assert again.code == 1


def test_durations_and_sizes_read_as_people_say_them() -> None:
    spans = [span(given) for given in (None, 0.04, 9.96, 42, 60, 200, 3600, 7500, 86_400, 273_600)]
    sizes = [size(given) for given in (0, 1023, 2048, 350 << 20, 24 << 30)]

    assert spans == [
        "", "0.0 s", "10.0 s", "42 s", "1 min", "3 min 20 s", "1 h", "2 h 5 min", "1 d", "3 d 4 h",
    ]  # fmt: skip
    assert sizes == ["0 B", "1023 B", "2.0 KiB", "350 MiB", "24.0 GiB"]
