"""The converter against the official editor, over everything: all templates, all graphs drawn by hand.

`./run converter-check` asks the editor in Chromium anew and prints the figures (about ten minutes);
`--keep` writes down what it answered, for the tests that have no browser.
"""

import argparse
import collections
import gzip
import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "src"), str(ROOT / "tests")]

from playwright.sync_api import Browser, sync_playwright  # noqa: E402 - tests are no package

from atelier.workflows.converting.convert import convert  # noqa: E402
from atelier.workflows.converting.refusals import CannotConvert  # noqa: E402
from support.editor_oracle import oracle  # noqa: E402
from workflows.converting import kept  # noqa: E402
from workflows.converting.made_graphs import object_info  # noqa: E402

CHROMIUM = "/usr/bin/chromium"

Told = Callable[[str], None]


def main() -> int:
    arguments = argparse.ArgumentParser(prog="./run converter-check", description=__doc__)
    arguments.add_argument("--keep", action="store_true", help="write down what the editor answered")
    keep = bool(arguments.parse_args().keep)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM, chromium_sandbox=False, args=["--disable-gpu"]
        )
        wrong = _made(browser, keep=keep) + _templates(browser, keep=keep)
        browser.close()
    return 1 if wrong else 0


def _made(browser: Browser, *, keep: bool) -> int:
    classes = object_info()
    documents = kept.all_graphs()
    with oracle(browser, classes) as editor:
        answers = {name: editor.asked(document) for name, document in documents.items()}
    if keep:
        text = json.dumps({name: one.get("output") for name, one in answers.items()}, sort_keys=True)
        kept.MADE.write_bytes(gzip.compress(text.encode(), mtime=0))
    return _print("drawn by hand", documents, answers, classes)


def _templates(browser: Browser, *, keep: bool) -> int:
    classes, recorded = kept.deduced_classes(), kept.recorded()
    contents = kept.templates()
    documents = {name: json.loads(content) for name, content in contents.items()}
    known = {name: one for name, one in documents.items() if not _is_refused(one, recorded)}
    with oracle(browser, recorded) as editor:
        of_recorded = {name: editor.asked(document) for name, document in known.items()}
    with oracle(browser, classes) as editor:
        of_deduced = {name: editor.asked(document) for name, document in documents.items()}
    if keep:
        rows = {
            name: {
                "file": kept.file_digest(content),
                "recorded": _kept(of_recorded.get(name), documents[name]),
                "deduced": _kept(of_deduced[name], documents[name]),
            }
            for name, content in contents.items()
        }
        kept.TEMPLATES.write_text(json.dumps(rows, indent=0, sort_keys=True) + "\n")
    wrong = _print("templates, recorded classes", known, of_recorded, recorded)
    return wrong + _print("templates, deduced classes", documents, of_deduced, classes)


def _is_refused(document: Mapping[str, Any], classes: Mapping[str, Any]) -> bool:
    """Nodes that are off may be of classes that nobody has."""
    try:
        convert(document, classes)
    except CannotConvert:
        return True
    return False


def _kept(answer: Mapping[str, Any] | None, document: Mapping[str, Any]) -> str:
    if answer is None:
        return ""
    return kept.digest(answer["output"], document) if "output" in answer else f"error: {answer['error'][:100]}"


def _print(
    title: str, documents: Mapping[str, Any], answers: Mapping[str, Any], classes: Mapping[str, Any]
) -> int:
    """How many are equal, refused by which reason, wrong."""
    found: collections.Counter[str] = collections.Counter()
    for name, document in documents.items():
        verdict = _verdict(document, answers[name], classes)
        found[verdict] += 1
        if verdict == "wrong":
            sys.stdout.write(f"wrong: {name}\n")
    figures = ", ".join(f"{number} {verdict}" for verdict, number in found.most_common())
    sys.stdout.write(f"{title}: {len(documents)}: {figures}\n")
    return found["wrong"]


def _verdict(document: Mapping[str, Any], answer: Mapping[str, Any], classes: Mapping[str, Any]) -> str:
    try:
        graph = convert(document, classes).graph
    except CannotConvert as refusal:
        return f"refused ({', '.join(sorted({reason.why.value for reason in refusal.reasons}))})"
    if "output" not in answer:
        return "converted, where the editor itself fails"
    return "equal" if kept.digest(graph, document) == kept.digest(answer["output"], document) else "wrong"


if __name__ == "__main__":
    sys.exit(main())
