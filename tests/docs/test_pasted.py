"""What the pages tell a newcomer to paste works as it stands."""

import json
import os
import re
import subprocess
import sys
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from pathlib import Path

import pytest

from support.terminal import Terminal, ready_line, stopped

ROOT = Path(__file__).resolve().parents[2]
QUICKSTART = ROOT / "docs" / "quickstart.md"
GENERATE = ROOT / "docs" / "generate.md"
EVENTS = ROOT / "docs" / "events.md"
README = ROOT / "README.md"
PAGES = [README, *sorted((ROOT / "docs").glob("*.md"))]

pytestmark = pytest.mark.timeout(120)


def _blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)


@dataclass(frozen=True, slots=True)
class Newcomer:
    """A folder, and the two variables that every page begins with."""

    folder: Path
    environ: dict[str, str]

    def types(self, *words: str) -> str:
        done = subprocess.run(
            words, cwd=self.folder, env=self.environ, capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout


@pytest.fixture
async def newcomer(tmp_path: Path) -> AsyncGenerator[Newcomer]:
    inherited = os.environ  # noqa: TID251 - programs are started with what this one has, less our own names
    kept = {name: value for name, value in inherited.items() if not name.startswith(("ATELIER_", "COMFY"))}
    process = await Terminal(tmp_path, kept).start(
        *("up", "--json", "--port", "0", "--simulate", "1", "--key-file", "key.txt")
    )
    ready = await ready_line(process)
    key = (tmp_path / "key.txt").read_text().strip()
    yield Newcomer(tmp_path, kept | {"COMFY_BASE_URL": str(ready["url"]), "COMFY_API_KEY": key})
    await stopped(process)


async def test_the_quick_starts_python_makes_a_picture(newcomer: Newcomer) -> None:
    [program] = _blocks(QUICKSTART, "python")

    newcomer.types(sys.executable, "-c", program)

    assert (newcomer.folder / "red.png").read_bytes().startswith(b"\x89PNG")


async def test_the_readmes_python_runs_a_graph_of_a_file(newcomer: Newcomer) -> None:
    [program] = _blocks(README, "python")
    graph = {
        "1": {"class_type": "EmptyImage", "inputs": {"width": 8, "height": 8, "batch_size": 1, "color": 7}},
        "2": {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": "x"}},
    }
    (newcomer.folder / "workflow_api.json").write_text(json.dumps(graph))

    newcomer.types(sys.executable, "-c", program)

    assert (newcomer.folder / "picture.png").read_bytes().startswith(b"\x89PNG")


async def test_the_curl_commands_submit_follow_and_read_a_job(newcomer: Newcomer) -> None:
    [submitted] = [block for block in _blocks(README, "sh") if "/api/v2/jobs" in block]
    [followed] = [block for block in _blocks(QUICKSTART, "sh") if "/events" in block]

    answer = json.loads(newcomer.types("sh", "-c", submitted))
    said = newcomer.types("sh", "-c", followed)

    assert answer["status"] == "queued"
    assert json.loads(said.splitlines()[-1])["outputs"][0]["name"].startswith("blue")


async def test_the_readmes_curl_makes_a_picture_by_a_workflow(newcomer: Newcomer) -> None:
    [asked] = [block for block in _blocks(README, "sh") if "/api/v1/generate" in block]

    job = json.loads(newcomer.types("sh", "-c", asked))

    assert (job["status"], job["workflow_id"], job["params"]["steps"]) == ("succeeded", "text-to-image-sd15", 8)
    assert job["outputs"][0]["content_type"] == "image/png"


async def test_the_guides_python_makes_a_picture_by_a_workflow(newcomer: Newcomer) -> None:
    [program] = _blocks(GENERATE, "python")
    [followed] = [block for block in _blocks(EVENTS, "sh") if "JOB=" in block]

    said = newcomer.types(sys.executable, "-c", program)
    told = newcomer.types("sh", "-c", followed)

    assert "succeeded seed" in said
    assert (newcomer.folder / "lighthouse-0.png").read_bytes().startswith(b"\x89PNG")
    assert '"state":"succeeded"' in told


async def test_the_readmes_lines_for_a_comfyui_queue_a_prompt(newcomer: Newcomer) -> None:
    [queued] = [block for block in _blocks(README, "sh") if "/prompt" in block]
    [listed] = [block for block in _blocks(QUICKSTART, "sh") if "/history" in block]

    said = newcomer.types("sh", "-c", queued)
    history = json.loads(newcomer.types("sh", "-c", listed))

    assert '"node_errors":{}' in said
    assert "queue_pending" in said
    assert isinstance(history, dict)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_shell_in_the_pages_can_be_pasted(page: Path) -> None:
    for block in _blocks(page, "sh"):
        checked = subprocess.run(["sh", "-n", "-c", block], capture_output=True, text=True, check=False)

        assert checked.returncode == 0, checked.stderr
        assert not re.search(r"<[a-z_ ]+>", block), "a placeholder in angle brackets is a redirection in a shell"
