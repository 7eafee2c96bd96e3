import json

import pytest

from atelier.entry.command_line import COMMANDS
from support.terminal import Terminal


@pytest.fixture
def away(terminal: Terminal, database_url: str) -> Terminal:
    """A terminal whose installation uses the database of this test."""
    return Terminal(terminal.folder, terminal.environ | {"ATELIER_DATABASE_URL": database_url})


async def test_help_lists_every_command(terminal: Terminal) -> None:
    ended = await terminal.run("--help")

    assert ended.code == 0
    assert [name for name in COMMANDS if name not in ended.out] == []


@pytest.mark.parametrize("name", COMMANDS)
async def test_every_command_explains_itself(terminal: Terminal, name: str) -> None:
    ended = await terminal.run(name, "--help")

    assert ended.code == 0, ended.err
    assert "Usage: atelier" in ended.out


@pytest.mark.parametrize(
    "arguments",
    [
        ["nope"],
        ["up", "--nope"],
        ["keys", "create", "--role", "god"],
        ["up", "--port", "70000"],
        ["jobs", "list", "--limit", "-1"],
        ["jobs", "list", "--limit", "0"],
    ],
)
async def test_what_cannot_be_understood_is_one_sentence_with_code_2(
    terminal: Terminal, arguments: list[str]
) -> None:
    ended = await terminal.run(*arguments)

    assert (ended.code, ended.out, ended.err.count("\n")) == (2, "", 1)


async def test_a_wrong_setting_is_one_sentence_with_code_1(terminal: Terminal) -> None:
    ended = await terminal.run("up", ATELIER_PORT="high")

    assert (ended.code, ended.out, ended.err.count("\n")) == (1, "", 1)
    assert ended.err.startswith("atelier: ATELIER_PORT must be")


async def test_a_key_is_shown_once_and_revoked_by_what_is_visible(away: Terminal) -> None:
    made = await away.run("keys", "create", "--account", "studio", "--label", "bot")
    listed = json.loads((await away.run("keys", "list", "--json")).out)
    revoked = await away.run("keys", "revoke", made.out[:12])
    after = json.loads((await away.run("keys", "list", "--account", "studio", "--json")).out)

    assert made.out.startswith("atl_")
    assert [(key["label"], key["role"], key["revoked"]) for key in listed] == [("bot", "member", None)]
    assert made.out.strip() not in json.dumps(listed)
    assert revoked.code == 0
    assert after[0]["revoked"]


async def test_a_key_that_does_not_exist_is_a_sentence_with_the_cure(away: Terminal) -> None:
    ended = await away.run("keys", "revoke", "atl_nothing")

    assert ended.code == 1
    assert "atelier keys list" in ended.err


async def test_keys_are_listed_with_the_names_of_their_accounts(away: Terminal) -> None:
    await away.run("keys", "create", "--account", "studio")

    listed = await away.run("keys", "list")

    assert "studio" in listed.out
    assert "(UTC)" in listed.out


async def test_an_account_without_a_name_is_refused(away: Terminal) -> None:
    ended = await away.run("keys", "create", "--account", " ")

    assert (ended.code, ended.out) == (1, "")
    assert "an account needs a name" in ended.err


async def test_a_server_that_does_not_answer_yet_is_added_and_told(away: Terminal, simulator_url: str) -> None:
    silent = await away.run("servers", "add", "http://127.0.0.1:1", "--id", "gone")
    well = await away.run("servers", "add", simulator_url, "--id", "well")
    listed = await away.run("servers", "list")

    assert (silent.code, silent.out) == (0, "added gone at http://127.0.0.1:1\n")
    assert "It does not answer yet (no connection: Connection refused)" in silent.err
    assert (well.code, well.err) == (0, "")
    assert "No dispatcher runs" in listed.err


async def test_a_password_in_a_servers_address_is_refused(away: Terminal) -> None:
    ended = await away.run("servers", "add", "http://me:s3cret@gpu:8188")

    assert ended.code == 1
    assert "s3cret" not in ended.err


async def test_servers_are_added_listed_and_removed(away: Terminal) -> None:
    added = await away.run("servers", "add", "gpu:8188", "--id", "gpu", "--header", "Authorization: Bearer s3cret")
    listed = await away.run("servers", "list", "--json")
    removed = await away.run("servers", "remove", "gpu")
    again = await away.run("servers", "remove", "gpu")

    assert (added.code, removed.code, again.code) == (0, 0, 1)
    assert [(server["id"], server["url"]) for server in json.loads(listed.out)] == [("gpu", "http://gpu:8188")]
    assert "s3cret" not in listed.out


async def test_a_header_without_a_colon_is_refused(away: Terminal) -> None:
    ended = await away.run("servers", "add", "gpu:8188", "--header", "nonsense")

    assert ended.code == 1
    assert "Authorization: Bearer abc" in ended.err


async def test_jobs_of_an_account_without_any_are_none(away: Terminal) -> None:
    await away.run("keys", "create")

    listed = await away.run("jobs", "list", "--json")
    shown = await away.run("jobs", "show", "00000000-0000-7000-8000-000000000000")
    unknown = await away.run("jobs", "list", "--account", "nobody")

    assert json.loads(listed.out) == []
    assert (shown.code, unknown.code) == (1, 1)
    assert "atelier jobs list" in shown.err
    assert "atelier keys list" in unknown.err


async def test_migrate_runs_each_file_once(terminal: Terminal, empty_database_url: str) -> None:
    first = await terminal.run("migrate", ATELIER_DATABASE_URL=empty_database_url)
    second = await terminal.run("migrate", ATELIER_DATABASE_URL=empty_database_url)

    assert "0001_spine.sql" in first.out
    assert "up to date" in second.out


async def test_the_doctor_says_what_is_wrong_and_how_to_mend_it(away: Terminal) -> None:
    await away.run("servers", "add", "http://127.0.0.1:1", "--id", "gone")

    ended = await away.run("doctor", "--json", ATELIER_PROT="1")

    findings = {finding["what"]: finding for finding in json.loads(ended.out)}
    assert ended.code == 1
    assert {what for what, finding in findings.items() if not finding["well"]} == {"settings", "server gone"}
    assert "ATELIER_PORT" in findings["settings"]["found"]
    assert findings["wake-ups"]["well"]


async def test_a_database_that_does_not_answer_is_one_sentence(terminal: Terminal) -> None:
    ended = await terminal.run("keys", "list", ATELIER_DATABASE_URL="postgresql://me:s3cret@127.0.0.1:1/none")

    assert (ended.code, ended.out) == (1, "")
    assert "PostgreSQL does not answer at 127.0.0.1:1/none" in ended.err
    assert "start it, or correct its address" in ended.err
    assert ended.err.count("\n") == 1
    assert "s3cret" not in ended.err
