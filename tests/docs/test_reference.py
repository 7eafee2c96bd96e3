"""The reference is complete and names nothing that does not exist."""

import contextlib
import re
from pathlib import Path

import pytest
from cyclopts import App
from pydantic import SecretStr

from atelier.entry.command_line import COMMANDS, build
from atelier.entry.old_names import OURS
from atelier.entry.settings import OF_THE_RUN_SCRIPT, Settings, variable
from atelier.kit import units
from tools.verbs import VERBS

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))]


def _page(name: str) -> str:
    return (DOCS / name).read_text(encoding="utf-8")


def _rows(name: str) -> dict[str, list[str]]:
    """First cell of every table row to the other cells."""
    lines = [line for line in _page(name).splitlines() if line.startswith("| `")]
    cells = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]
    return {row[0].strip("` "): row[1:] for row in cells}


@pytest.mark.parametrize("field", Settings.model_fields)
def test_every_setting_has_a_row_with_its_meaning(field: str) -> None:
    info = Settings.model_fields[field]

    row = _rows("settings.md").get(variable(field))

    assert row is not None, f"docs/settings.md has no row for {variable(field)}"
    assert row[1].strip(" |") == info.description


@pytest.mark.parametrize("field", Settings.model_fields)
def test_every_row_has_the_true_default(field: str) -> None:
    default = Settings.model_fields[field].default
    written = _rows("settings.md")[variable(field)][0].strip("`")

    match default:
        case int() | float():
            assert default in _quantities(written)
        case SecretStr() | None | "" | ():
            assert written == ""
        case _ if Settings.model_fields[field].default_factory is not None:
            assert written == ""
        case _:
            assert written == str(default)


def _quantities(written: str) -> list[object]:
    found: list[object] = []
    for read in (units.seconds, units.size):
        with contextlib.suppress(ValueError):
            found.append(read(written))
    return found


def test_no_page_names_a_setting_that_does_not_exist() -> None:
    known = {variable(field) for field in Settings.model_fields} | OF_THE_RUN_SCRIPT
    named = {
        name for page in PAGES for name in re.findall(r"ATELIER_[A-Z0-9_]+", page.read_text(encoding="utf-8"))
    }

    assert named - known == set()


def test_every_old_name_stands_beside_ours() -> None:
    rows = _rows("migration.md")

    assert {name: rows[name][0].strip("`") for name in OURS} == dict(OURS)


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_of_the_run_script_is_explained(verb: str) -> None:
    assert re.search(rf"^\| `\./run {verb}( …)?` \|", _page("cli.md"), re.MULTILINE)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_explained_with_all_its_options(name: str) -> None:
    page = _page("cli.md")
    app = build()[name]

    missing = [word for word in _words(app, f"atelier {name}") if word not in page]

    assert missing == []


def _words(app: App, called: str) -> list[str]:
    subcommands = [command for command in app if not command.startswith("-")]
    if subcommands:
        return [word for each in subcommands for word in _words(app[each], f"{called} {each}")]
    options = [name for argument in app.assemble_argument_collection() for name in argument.names]
    return [called, *(name for name in options if name.startswith("--") and not _unwritten(name))]


def _unwritten(name: str) -> bool:
    """The long forms of what is given by its place, and negations that the command line does not take."""
    return name in {"--key", "--url", "--server-id", "--job"} or name.startswith(("--no-", "--empty-"))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    links = [link for link in re.findall(r"\]\(([^)\s]+)\)", text) if "://" not in link]

    broken = [link for link in links if not _leads(page, link)]

    assert broken == []


def _leads(page: Path, link: str) -> bool:
    path, _, anchor = link.partition("#")
    target = (page.parent / path).resolve() if path else page
    return target.exists() and (not anchor or anchor in _anchors(target.read_text(encoding="utf-8")))


def _anchors(text: str) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_the_first_two_commands_of_the_readme_do_everything() -> None:
    block = re.search(r"```sh\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)

    assert block is not None
    assert [line.split("#")[0].strip() for line in block[1].splitlines()] == ["./run demo", "./run test"]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_python_in_the_pages_is_python(page: Path) -> None:
    for block in re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL):
        assert compile(block, str(page), "exec").co_filename == str(page)
