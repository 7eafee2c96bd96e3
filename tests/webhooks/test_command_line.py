"""Webhooks at the command line: one is added, tested, told again and removed."""

import json
import os
from pathlib import Path
from typing import Any

from support.receiver import Receiver
from support.terminal import Terminal
from support.told import Office


def terminal_for(office: Office, folder: Path) -> Terminal:
    inherited = os.environ  # noqa: TID251 - programs are started with what this one has, less our own names
    kept = {name: value for name, value in inherited.items() if not name.startswith(("ATELIER_", "COMFY"))}
    own = {"ATELIER_DATABASE_URL": office.database.url, "ATELIER_OUTBOUND_ALLOW": "127.0.0.1"}
    return Terminal(folder, kept | own)


async def asked(terminal: Terminal, *words: str) -> Any:
    ended = await terminal.run("webhooks", *words, "--account", "told", "--json")
    assert ended.code == 0, ended.err
    return json.loads(ended.out)


async def test_a_webhook_is_added_listed_and_removed(office: Office, tmp_path: Path) -> None:
    terminal = terminal_for(office, tmp_path)

    made = await asked(terminal, "add", "http://127.0.0.1:8080/", "--event", "job.failed")
    listed = await asked(terminal, "list")
    removed = await terminal.run("webhooks", "remove", made["id"], "--account", "told")

    assert made["secret"].startswith("whsec_")
    assert listed == [{name: value for name, value in made.items() if name != "secret"}]
    assert (removed.code, await office.rows("SELECT 1 FROM webhook_endpoints")) == (0, [])


async def test_a_webhook_is_tested_and_told_again(office: Office, told: Receiver, tmp_path: Path) -> None:
    terminal, endpoint = terminal_for(office, tmp_path), await office.endpoint(told.url)

    async with office.sending():
        tested = await asked(terminal, "test", str(endpoint.id))
        again = await asked(terminal, "replay", tested["id"])
        await office.until_tried(tested["id"], 2)
    [delivery] = await asked(terminal, "deliveries", str(endpoint.id), "--fate", "delivered")

    assert (tested["state"], tested["answer"], again["state"]) == ("delivered", 204, "pending")
    assert (delivery["id"], delivery["tries"]) == (tested["id"], 2)


async def test_what_cannot_be_is_one_sentence(office: Office, tmp_path: Path) -> None:
    terminal = terminal_for(office, tmp_path)

    ended = [
        await terminal.run("webhooks", *words, "--account", "told")
        for words in (("add", "http://10.0.0.1/"), ("remove", "x"), ("replay", "x"))
    ]

    assert [each.code for each in ended] == [1, 1, 1]
    assert "10.0.0.1 is not a public address" in ended[0].err
    assert all("atelier webhooks" in each.err for each in ended[1:])
