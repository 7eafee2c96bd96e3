"""What may be removed from a server's disk is printed for scripts, and docs/leftovers.md's line removes it."""

import asyncio
import json
import re
import sys
from pathlib import Path

import pytest

from atelier.fleet.store import deposits
from atelier.fleet.store.deposits import Deposit
from atelier.kit.database import Database
from atelier.kit.ids import ServerId
from support.terminal import Terminal

GPU = ServerId("gpu-1")
PAGE = Path(__file__).parents[2] / "docs" / "leftovers.md"


@pytest.fixture
async def away(terminal: Terminal, database_url: str, database: Database) -> Terminal:
    """An installation whose server gpu-1 has two old things and a new one on its disk."""
    async with database.transaction() as tx:
        for name in ("a" * 64, "b" * 64):
            await deposits.add(tx, GPU, Deposit(f"{name}.png", f"input/atelier/{name}-1 2.png", 7))
        await deposits.add(tx, GPU, Deposit("odd", "input/atelier/../../odd", 7))
        await deposits.add_outputs(tx, GPU, "20200101")
        await tx.execute("UPDATE server_files SET used_at = now() - interval '9 days' WHERE name NOT LIKE 'b%'")
    return Terminal(terminal.folder, terminal.environ | {"ATELIER_DATABASE_URL": database_url})


OLD = [f"input/atelier/{'a' * 64}-1 2.png", "output/atelier/20200101"]


async def test_what_may_be_removed_is_a_path_a_line(away: Terminal) -> None:
    printed = await away.run("servers", "leftovers", GPU)
    listed = json.loads((await away.run("servers", "leftovers", GPU, "--older-than", "36h", "--json")).out)

    assert printed.out.splitlines() == OLD
    assert [(one["path"], one["size"]) for one in listed] == list(zip(OLD, (7, None), strict=True))


@pytest.mark.parametrize(("server", "age"), [("nobody", "7d"), (GPU, "1h"), (GPU, "soon")])
async def test_a_mistake_is_one_sentence(away: Terminal, server: str, age: str) -> None:
    ended = await away.run("servers", "leftovers", server, "--older-than", age)

    assert (ended.code, ended.out, ended.err.count("\n")) == (1, "", 1)


async def test_the_line_of_the_page_removes_what_is_old_and_nothing_else(away: Terminal, tmp_path: Path) -> None:
    comfy, tools = tmp_path / "ComfyUI", tmp_path / "bin"
    kept = comfy / f"input/atelier/{'b' * 64}-1 2.png"
    for path in (comfy / OLD[0], comfy / OLD[1] / "job" / "x.png", kept):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"picture")
    tools.mkdir()
    (tools / "atelier").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m atelier "$@"\n')
    (tools / "atelier").chmod(0o755)
    found = re.search(r"^30 4 \* \* \* (.+)$", PAGE.read_text(), re.MULTILINE)
    assert found is not None
    line = found[1].replace("/opt/ComfyUI", str(comfy))

    process = await asyncio.create_subprocess_shell(
        line, env=away.environ | {"PATH": f"{tools}:{away.environ['PATH']}"}
    )
    async with asyncio.timeout(60):
        assert await process.wait() == 0

    assert sorted(path for path in comfy.rglob("*") if path.is_file()) == [kept]
    assert (comfy / "output" / "atelier").is_dir()
    again = await away.run("servers", "leftovers", GPU)
    assert again.out.splitlines() == OLD
