"""Python clients of ComfyUI that other people wrote run unmodified against Atelier."""

import json
import select
import subprocess
import urllib.request
from collections.abc import Generator, Mapping
from pathlib import Path
from typing import Any

import pytest

from conformance import graphs
from conformance.installation import ATELIER, Installation, environment, stop
from conformance.python_clients import installed
from tools.chaos.processes import free_port

pytestmark = pytest.mark.timeout(400)

DRIVERS = Path(__file__).parent / "clients"
PATIENCE = 90
PNG = "89504e47"


@pytest.fixture(scope="session")
def python() -> Path:
    return installed()


def drive(python: Path, driver: str, *arguments: str, cwd: Path) -> Any:
    """What the driver prints, as JSON."""
    done = subprocess.run(
        [str(python), str(DRIVERS / f"{driver}.py"), *arguments],
        cwd=cwd,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout)


@pytest.fixture(scope="session")
def simplified(python: Path, atelier: Installation, tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Any]:
    folder = tmp_path_factory.mktemp("simplified")
    given = {
        "quick": graphs.quick().json,
        "inverted": graphs.inverted("").json,
        "failing": graphs.failing_late().json,
        "wrong": wrong(),
        "endless": graphs.endless().json,
        "png": graphs.png((255, 0, 0)).hex(),
    }
    (folder / "given.json").write_text(json.dumps(given))
    seen: Mapping[str, Any] = drive(
        python, "simplified", atelier.url, atelier.key, str(folder / "given.json"), str(folder), cwd=folder
    )
    return seen


def wrong() -> dict[str, Any]:
    """A picture wider than any server makes."""
    graph = dict(graphs.quick().json)
    graph["1"]["inputs"]["width"] = 1_000_000
    return graph


def test_simplified_runs_and_gets_its_picture(simplified: Mapping[str, Any]) -> None:
    assert simplified["run"]["png"] == [PNG]


def test_simplified_uploads_into_its_own_folder_and_uses_it(simplified: Mapping[str, Any]) -> None:
    seen = simplified["upload"]

    assert seen["kept"] == {"name": "simplified.png", "subfolder": "default_upload_folder", "type": "input"}
    assert [graphs.pixel(bytes.fromhex(one)) for one in seen["inverted"]] == [(0, 255, 255)]


def test_simplified_raises_what_its_users_catch(simplified: Mapping[str, Any]) -> None:
    assert simplified["failed"] == "ComfyApiError: Execution error occurred."
    assert simplified["refused"].startswith("ComfyApiError: Request failed with status code 400")


def test_simplified_interrupts_what_it_runs(simplified: Mapping[str, Any]) -> None:
    assert simplified["interrupted"] == {"before": 0, "status": "execution_interrupted"}


def test_simplified_reads_the_catalogue(simplified: Mapping[str, Any]) -> None:
    assert simplified["reads"]["node"] == ["SaveImage"]
    assert simplified["reads"]["devices"] >= 1


@pytest.fixture(scope="session")
def script(python: Path, atelier: Installation, tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Any]:
    folder = tmp_path_factory.mktemp("script")
    seen: Mapping[str, Any] = drive(python, "script", f"{atelier.url}/k/{atelier.key}/", "12", cwd=folder)
    return seen


def test_comfyscript_makes_functions_of_the_catalogue_and_gets_a_picture(script: Mapping[str, Any]) -> None:
    assert script["run"] == {"size": [64, 64], "format": "PNG"}


def test_comfyscript_goes_on_after_a_failure_and_a_cancel(script: Mapping[str, Any]) -> None:
    assert (script["failed"], script["interrupted"]) == (None, None)


class Cli:
    """The command line `comfy`, which can send no key: it asks the port that speaks for one."""

    def __init__(self, python: Path, port: int, home: Path) -> None:
        self._command = [str(python), "-m", "comfy_cli", "--skip-prompt", "--no-enable-telemetry", "--json"]
        self._where = ["--host", "127.0.0.1", "--port", str(port), "--where", "local"]
        self._home = home

    def run(self, *words: str) -> Any:
        """What it says of `comfy WORDS`, whether it went well or not."""
        done = subprocess.run(
            [*self._command, *words, *self._where],
            cwd=self._home,
            env=environment() | {"HOME": str(self._home)},
            capture_output=True,
            text=True,
            check=False,
            timeout=PATIENCE,
        )
        assert done.stdout, done.stderr[-3000:]
        return json.loads(done.stdout)

    def workflow(self, graph: dict[str, Any]) -> str:
        path = self._home / "workflow.json"
        path.write_text(json.dumps(graph))
        return str(path)


@pytest.fixture(scope="session")
def cli(python: Path, atelier: Installation, tmp_path_factory: pytest.TempPathFactory) -> Generator[Cli]:
    home = tmp_path_factory.mktemp("cli")
    port = free_port()
    (home / "key").write_text(atelier.key)
    bound = ["--bind-key", str(home / "key"), "--bind-port", str(port)]
    with (home / "serve.log").open("wb") as log:
        process = subprocess.Popen(
            [*ATELIER, "serve", "--state", atelier.folder, "--port", str(free_port()), *bound],
            env=environment(),
            stdout=subprocess.PIPE,
            stderr=log,
        )
    try:
        assert process.stdout is not None
        assert select.select([process.stdout], [], [], PATIENCE)[0], (home / "serve.log").read_text()
        yield Cli(python, port, home)
    finally:
        stop(process)


def test_the_command_line_runs_a_graph_and_names_its_picture(cli: Cli, atelier: Installation) -> None:
    said = cli.run("run", "--workflow", cli.workflow(graphs.quick().json), "--wait")

    assert (said["ok"], said["data"]["status"], len(said["data"]["outputs"])) == (True, "completed", 1)
    with urllib.request.urlopen(said["data"]["outputs"][0], timeout=30) as answer:  # noqa: S310 - our own address
        assert answer.read(4).hex() == PNG


def test_the_command_line_says_what_is_wrong_with_a_graph(cli: Cli) -> None:
    said = cli.run("run", "--workflow", cli.workflow(wrong()), "--wait")

    assert (said["ok"], said["error"]["code"]) == (False, "workflow_unknown_nodes")  # by our /object_info


def test_the_command_line_says_which_node_failed(cli: Cli) -> None:
    said = cli.run("run", "--workflow", cli.workflow(graphs.failing_late().json), "--wait")

    assert (said["ok"], said["error"]["code"]) == (False, "execution_error")


def test_the_command_line_cancels(cli: Cli) -> None:
    said = cli.run("run", "--workflow", cli.workflow(graphs.endless().json))
    prompt_id = said["data"]["prompt_id"]

    canceled = cli.run("jobs", "cancel", prompt_id)
    ended = cli.run("jobs", "wait", prompt_id)

    assert (canceled["ok"], canceled["data"]["found"]) == (True, True)
    assert ended["error"]["code"] == "cancelled"
