"""Workflows at the command line: told with what servers lack, checked by the folder, rolled back and withdrawn."""

import asyncio
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from atelier.entry.workflow_checkup import workflow_findings
from atelier.fleet import service as fleet
from atelier.fleet.inventory import from_object_info
from atelier.fleet.model import Health
from atelier.fleet.store import catalogs, roster
from atelier.kit.database import Database
from atelier.kit.ids import ServerId
from atelier.kit.wakeups import Wakeups
from atelier.workflows import folders
from support.terminal import Terminal

PLAIN: dict[str, Any] = {
    "EmptyImage": {
        "input": {
            "required": {
                "width": ["INT", {"default": 512, "min": 1, "max": 16384}],
                "height": ["INT", {"default": 512, "min": 1, "max": 16384}],
                "batch_size": ["INT", {"default": 1, "min": 1, "max": 4096}],
                "color": ["INT", {"default": 0, "min": 0, "max": 0xFFFFFF}],
            }
        },
        "output": ["IMAGE"],
        "output_node": False,
    },
    "SaveImage": {
        "input": {"required": {"images": ["IMAGE"], "filename_prefix": ["STRING", {"default": "ComfyUI"}]}},
        "output": [],
        "output_node": True,
    },
}

GRAPH = {
    "1": {
        "class_type": "EmptyImage",
        "inputs": {"width": 64, "height": 64, "batch_size": 1, "color": 0},
        "_meta": {"title": "Sheet"},
    },
    "2": {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": "sheet"}},
}

MANIFEST = """\
id: sheet
name: {en: A plain sheet, pt: Uma folha lisa}
description: One colour.
category: other
family: other
version: "%s"
parameters:
  side: {type: int, default: 64, min: 8, max: %d, bind: [{node: Sheet, input: width}]}
outputs: [{node: "2"}]
"""


def folder_of(parent: Path, version: str = "1.0.0", most: int = 512) -> Path:
    folder = parent / "workflows" / "sheet"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "graph.json").write_text(json.dumps(GRAPH))
    (folder / "workflow.yaml").write_text(MANIFEST % (version, most))
    return folder


async def kept(database: Database, parent: Path) -> None:
    """As a started Atelier takes its folders."""
    shipped = parent / "shipped"
    shipped.mkdir(exist_ok=True)
    await folders.Folders(database, Wakeups(database), {}, parent / "workflows", shipped=shipped).sync()


@pytest.fixture
async def away(terminal: Terminal, database_url: str, database: Database, tmp_path: Path) -> Terminal:
    """An installation with one workflow of two revisions, a server that runs it and one that does not."""
    folder_of(tmp_path)
    await kept(database, tmp_path)
    folder_of(tmp_path, "1.1.0", 1024)
    await kept(database, tmp_path)
    async with database.transaction() as tx:
        for name, has in (("plain", PLAIN), ("bare", {"SaveImage": PLAIN["SaveImage"]})):
            await fleet.add(tx, f"http://{name}:8188", server_id=name)
            await catalogs.save_inventory(tx, ServerId(name), from_object_info(has), {})
            await roster.save_health(tx, ServerId(name), Health.READY, "")
    return Terminal(terminal.folder, terminal.environ | {"ATELIER_DATABASE_URL": database_url})


async def test_workflows_are_told_with_where_they_run(away: Terminal) -> None:
    listed = await away.run("workflows", "list")
    rows = json.loads((await away.run("workflows", "list", "--json")).out)
    shown = await away.run("workflows", "show", "sheet")
    whole = json.loads((await away.run("workflows", "show", "sheet", "--version", "1", "--json")).out)
    none = await away.run("workflows", "list", "--category", "video")

    assert all(words in listed.out for words in ("sheet", "A plain sheet", "1.1.0", "1 of 2"))
    assert [(row["id"], row["revision"], row["servers"]) for row in rows] == [("sheet", 2, ["plain"])]
    assert rows[0]["missing"]["bare"]["classes"] == ["EmptyImage"]
    assert all(words in shown.out for words in ("side", "8 to 1024", "no: node class EmptyImage"))
    assert (whole["version"], whole["manifest"]["parameters"]["side"]["max"]) == ("1.0.0", 512)
    assert "There is no such workflow" in none.out


async def test_a_workflow_is_rolled_back_and_withdrawn(away: Terminal) -> None:
    back = await away.run("workflows", "rollback", "sheet", "1")
    versions = json.loads((await away.run("workflows", "versions", "sheet", "--json")).out)
    gone = await away.run("workflows", "withdraw", "sheet")
    rows = json.loads((await away.run("workflows", "list", "--json")).out)

    assert back.out == "sheet runs as version 1.0.0, revision 1\n"
    assert [(one["revision"], one["runs"]) for one in versions] == [(2, None), (1, True)]
    assert (gone.out, rows) == ("sheet is withdrawn\n", [])


async def test_a_folder_is_checked_against_the_fleet(away: Terminal) -> None:
    good = await away.run("workflows", "check", "workflows")
    folder_of(away.folder, "1.2.0", 100_000)
    bad = await away.run("workflows", "check", "workflows/sheet")
    offline = await away.run("workflows", "check", "workflows/sheet", "--offline")

    assert (good.code, good.out) == (0, "sheet: well; 1 of 2 servers can run it\n")
    assert bad.code == 1
    assert "parameters.side.bind[0]" in bad.out
    assert "16384 at most" in bad.out
    assert bad.err == "atelier: not all is well: sheet\n"
    assert (offline.code, offline.out) == (0, "sheet: well, by itself: no server was asked\n")


async def test_a_faulty_folder_tells_every_fault_and_its_place(terminal: Terminal) -> None:
    folder = folder_of(terminal.folder)
    (folder / "workflow.yaml").write_text(
        (MANIFEST % ("1.0.0", 512)).replace("Sheet", "Shet").replace("int,", "number,")
    )

    told = await terminal.run("workflows", "check", "workflows", "--offline", "--json")
    (folder / "graph.json").write_text("{")
    broken = await terminal.run("workflows", "check", "workflows", "--offline")
    nowhere = await terminal.run("workflows", "check", "nowhere", "--offline")

    [one] = json.loads(told.out)
    assert told.code == 1
    assert any(fault["where"].startswith("parameters.side") for fault in one["faults"])
    assert (broken.code, "graph.json" in broken.out or "parameters.side" in broken.out) == (1, True)
    assert nowhere.err == "atelier: nowhere is no folder\n"


REFUSED = {
    ("workflows", "show", "shet"): "Did you mean sheet?",
    ("workflows", "rollback", "sheet", "9"): "no revision 9",
    ("workflows", "publish", "sheet"): "no draft to publish",
    ("workflows", "list", "--account", "nobody"): "no account named",
    ("workflows", "run", "sheet", "-p", "side"): "write a parameter like steps=20",
    ("workflows", "run", "sheet", "-p", "side=@nothing.png"): "cannot be read",
    ("workflows", "run", "sheet"): "--key-file names one",
    ("workflows", "run", "sheet", "--url", "http://127.0.0.1:9", "--key-file", "key"): "start it with atelier up",
}


async def test_what_cannot_be_is_one_sentence_with_the_cure(away: Terminal) -> None:
    (away.folder / "key").write_text("atl_x\n")

    ended = await asyncio.gather(*(away.run(*words) for words in REFUSED))

    for done, words in zip(ended, REFUSED, strict=True):
        assert done.code == 1, words
        assert REFUSED[words] in done.err
        assert done.err.splitlines()[-1].startswith("atelier: ")


async def test_the_doctor_says_which_server_can_run_what(away: Terminal, database: Database) -> None:
    found = await workflow_findings(database)

    assert found == [
        ("workflows", "1; 1 of them can run somewhere with their default files"),
        ("workflow sheet", "runs on plain; bare: node class EmptyImage"),
    ]
    assert away.folder.exists()


async def test_a_folder_that_is_gone_is_no_workflow_any_more(
    away: Terminal, database: Database, tmp_path: Path
) -> None:
    shutil.rmtree(tmp_path / "workflows" / "sheet")
    await kept(database, tmp_path)

    assert json.loads((await away.run("workflows", "list", "--json")).out) == []


async def test_a_graph_is_brought_as_a_draft_and_published(away: Terminal) -> None:
    (away.folder / "My sheet.json").write_text(json.dumps(GRAPH))

    brought = await away.run("workflows", "import", "My sheet.json")
    published = await away.run("workflows", "publish", "my-sheet")
    again = await away.run("workflows", "import", "workflows/sheet", "--json")
    at_once = json.loads(
        (await away.run("workflows", "import", "My sheet.json", "--id", "now", "--publish", "--json")).out
    )

    assert brought.out.startswith("my-sheet, revision 1, a draft; parameters: ")
    assert published.out.startswith("my-sheet runs as version ")
    assert "comes from a folder" in again.err
    assert (at_once["id"], at_once["draft"], at_once["faults"]) == ("now", False, [])


async def test_what_holds_no_workflow_is_refused(away: Terminal) -> None:
    (away.folder / "note.txt").write_text("hello")

    ended = [await away.run("workflows", "import", name) for name in ("note.txt", "nothing.png", "shipped")]

    assert [one.code for one in ended] == [1, 1, 1]
    assert "cannot be read" in ended[1].err
    assert "shipped is no workflow" in ended[2].err
