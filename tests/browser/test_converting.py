"""What the converter makes is what the official editor of this installation would send, asked live."""

import json
from typing import Any

import pytest
from playwright.sync_api import Browser

from atelier.workflows.converting.convert import convert
from support.editor_oracle import oracle
from workflows.converting import kept
from workflows.converting.made_graphs import object_info

pytestmark = pytest.mark.timeout(300)

EVERY = 4
"""Of graphs drawn by hand; the whole is asked by `./run converter-check`."""
EVERY_TEMPLATE = 80


def test_graphs_drawn_by_hand_are_what_the_editor_sends(chromium: Browser) -> None:
    classes = object_info()
    drawn = kept.all_graphs()
    chosen = sorted(drawn)[::EVERY]

    with oracle(chromium, classes) as editor:
        answers: dict[str, Any] = {name: editor.asked(drawn[name]) for name in chosen}

    for name in chosen:
        made = convert(drawn[name], classes).graph
        assert kept.comparable(made, drawn[name]) == kept.comparable(answers[name]["output"], drawn[name]), name


def test_templates_are_what_the_editor_sends(chromium: Browser) -> None:
    classes = kept.deduced_classes()
    documents = {name: json.loads(kept.templates()[name]) for name in sorted(kept.templates())[::EVERY_TEMPLATE]}

    with oracle(chromium, classes) as editor:
        answers = {name: editor.asked(document) for name, document in documents.items()}

    for name, document in documents.items():
        made = convert(document, classes).graph
        assert kept.digest(made, document) == kept.digest(answers[name]["output"], document), name
