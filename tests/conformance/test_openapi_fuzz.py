"""Schemathesis asks the served installation all that its own document allows, and much that it does not."""

import subprocess
import sys
from pathlib import Path

import pytest

from conformance.installation import Installation, environment

SECONDS = 35
HERE = Path(__file__).parent


@pytest.mark.timeout(SECONDS + 75)
def test_whatever_is_asked_the_answer_is_one_that_the_document_names(
    atelier: Installation, stranger_key: str, tmp_path: Path
) -> None:
    """A member's key: an admin's would register made-up servers with the fleet, which would then be called."""
    command = [str(Path(sys.executable).parent / "schemathesis"), "--config-file", str(HERE / "schemathesis.toml")]
    command += ["run", f"{atelier.url}/openapi.json", "--header", f"Authorization: Bearer {stranger_key}"]
    command += ["--max-time", str(SECONDS), "--request-timeout", "20", "--continue-on-failure"]
    # One worker: two threads that parse at once trip over a bug of CPython 3.11 (gh-106905).
    command += ["--no-color", "--generation-database", "none", "--warnings", "off"]

    done = subprocess.run(
        command,
        cwd=tmp_path,
        env=environment() | {"PYTHONPATH": str(HERE.parent), "SCHEMATHESIS_HOOKS": "conformance.fuzz_hooks"},
        capture_output=True,
        text=True,
        check=False,
        timeout=SECONDS + 60,
    )

    assert done.returncode == 0, f"{done.stdout[-8000:]}\n{done.stderr[-2000:]}"
    assert "passed" in done.stdout
