"""`./run check`: format, lint, types twice, import contracts; all of them run, then a summary tells the result."""

import time

from tools.environment import ROOT, Environment
from tools.terminal import Words, run_plain, say


def check(environment: Environment) -> int:
    """0 when every check passes. Each check prints what it found; the last lines tell which failed."""
    bin_folder = environment.folder / "bin"
    checks: dict[str, Words] = {
        "format": [bin_folder / "ruff", "format", "--check", "--quiet", "."],
        "lint": [bin_folder / "ruff", "check", "--quiet", "."],
        "types (mypy)": [bin_folder / "mypy", "--no-error-summary"],
        "types (pyright)": [bin_folder / "basedpyright", "--pythonpath", environment.python],
        "imports": [bin_folder / "lint-imports", "--no-logo"],
    }
    results: dict[str, tuple[int, float]] = {}
    for name, command in checks.items():
        say(f"── {name}")
        began = time.monotonic()
        results[name] = run_plain(command, cwd=ROOT), time.monotonic() - began
    say("── summary")
    for name, (code, seconds) in results.items():
        say(f"{'failed' if code else 'passed'}  {name:<16} {seconds:5.1f} s")
    failed = [name for name, (code, _) in results.items() if code]
    say(f"check failed: {', '.join(failed)} (./run format mends what it can)" if failed else "check passed")
    return 1 if failed else 0


def format_code(environment: Environment) -> int:
    """Mend what can be mended without thinking."""
    ruff = environment.folder / "bin" / "ruff"
    linted = run_plain([ruff, "check", "--fix", "."], cwd=ROOT)
    return run_plain([ruff, "format", "."], cwd=ROOT) or linted
