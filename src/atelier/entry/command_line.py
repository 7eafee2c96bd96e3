"""Every command, by name; what one needs is imported when it runs, and a refusal is one sentence on stderr."""

import sys
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import version

from cyclopts import App, CycloptsError, Parameter

from atelier.kit.errors import Refusal

_WHERE = "atelier.entry.commands"

COMMANDS: Mapping[str, tuple[str, str]] = {
    "up": (f"{_WHERE}.up:up", "Everything on this machine, until Ctrl-C."),
    "demo": (f"{_WHERE}.up:demo", "Everything on this machine, and a first picture."),
    "serve": (f"{_WHERE}.roles:serve", "The API alone; any number of them may run."),
    "dispatch": (f"{_WHERE}.roles:dispatch", "A dispatcher alone: it drives servers."),
    "tasks": (f"{_WHERE}.roles:tasks", "Background and periodic tasks alone."),
    "simulate": (f"{_WHERE}.simulate:simulate", "A simulated ComfyUI server, without a GPU."),
    "doctor": (f"{_WHERE}.doctor:doctor", "Looks at everything an installation needs and says what is wrong."),
    "migrate": (f"{_WHERE}.migrate:migrate", "Brings the database's schema up to date."),
    "keys": (f"{_WHERE}.keys:keys", "API keys: create, list, revoke."),
    "accounts": (f"{_WHERE}.accounts:accounts", "Accounts and their parts of the fleet: list, create, set."),
    "servers": (f"{_WHERE}.servers:servers", "ComfyUI servers: list, show, add, set, drain, probe, remove…"),
    "models": (f"{_WHERE}.models:models", "Model files: which exist where; verify one."),
    "workflows": (
        f"{_WHERE}.workflows:workflows",
        "Workflows: list, show, check, import, run, publish, rollback…",
    ),
    "queue": (f"{_WHERE}.queue:queue", "The queue in figures; clean up what ended long ago."),
    "jobs": (f"{_WHERE}.jobs:jobs", "Jobs: list, show, cancel, retry."),
    "dead-letters": (
        f"{_WHERE}.dead_letters:dead_letters",
        "Jobs that were given up: list, show, replay, discard.",
    ),
    "webhooks": (
        f"{_WHERE}.webhooks:webhooks",
        "Webhooks: list, add, remove, test; deliveries: list, replay.",
    ),
}
"""Name to where the code is and what `--help` says."""


def build() -> App:
    """The command line; none of the commands is imported yet."""
    app = App(
        name="atelier",
        help="The production service in front of a fleet of ComfyUI servers.",
        version=lambda: version("atelier"),
        default_parameter=Parameter(negative=()),
        result_action="return_value",
    )
    for name, (where, help_line) in COMMANDS.items():
        app.command(where, name=name, help=help_line)
    return app


def run(arguments: Sequence[str]) -> int:
    """The exit code of one command line."""
    try:
        build()(list(arguments), exit_on_error=False, print_error=False)
    except CycloptsError as error:
        return _refuse(f"{_flat(str(error))} (atelier --help lists what there is)", 2)
    except KeyboardInterrupt:
        return 130
    except (Refusal, BaseExceptionGroup) as error:
        refusal = next(_refusals(error), None)
        if refusal is None:
            raise
        return _refuse(refusal.message, 1)
    return 0


def _refusals(error: BaseException) -> Iterator[Refusal]:
    """A refusal from inside a task group comes wrapped in groups."""
    match error:
        case Refusal():
            yield error
        case BaseExceptionGroup():
            inner: Sequence[BaseException] = error.exceptions
            for each in inner:
                yield from _refusals(each)
        case _:
            pass


def _refuse(sentence: str, code: int) -> int:
    sys.stderr.write(f"atelier: {sentence}\n")
    return code


def _flat(text: str) -> str:
    return " ".join(text.split())
