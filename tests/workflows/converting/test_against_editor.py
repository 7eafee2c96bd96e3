"""The converter makes what the official editor makes: of every template, of every graph drawn by hand."""

import collections
import json
from typing import Any

import pytest

from atelier.workflows.converting.convert import convert
from atelier.workflows.converting.refusals import CannotConvert
from workflows.converting import kept
from workflows.converting.made_graphs import all_graphs, object_info

DRAWN = all_graphs()


@pytest.fixture(scope="module")
def drawn_by_editor() -> dict[str, Any]:
    return kept.made()


@pytest.fixture(scope="module")
def classes() -> dict[str, Any]:
    return object_info()


@pytest.mark.parametrize("name", sorted(DRAWN))
def test_a_graph_drawn_by_hand_is_what_the_editor_makes_of_it(
    name: str, drawn_by_editor: dict[str, Any], classes: dict[str, Any]
) -> None:
    document = json.loads(json.dumps(DRAWN[name]))

    graph = convert(document, classes).graph

    assert kept.comparable(graph, DRAWN[name]) == kept.comparable(drawn_by_editor[name], DRAWN[name])
    assert document == DRAWN[name]  # what was given is left as it was


def test_there_are_graphs_for_everything() -> None:
    assert len(DRAWN) >= 60


@pytest.mark.parametrize("schemas", ["recorded", "deduced"])
def test_every_template_is_converted_as_the_editor_does_or_refused_by_a_named_reason(
    schemas: str, capsys: pytest.CaptureFixture[str]
) -> None:
    kept_rows = kept.kept_templates()
    known = kept.recorded() if schemas == "recorded" else kept.deduced_classes()
    verdicts = {
        name: _verdict(content, known, kept_rows.get(name, {}), schemas)
        for name, content in kept.templates().items()
    }

    figures = collections.Counter(verdicts.values())

    with capsys.disabled():
        told = ", ".join(f"{number} {verdict}" for verdict, number in figures.most_common())
        print(f"\n{len(verdicts)} templates, {schemas} classes: {told}")  # noqa: T201 - its figures stand in docs
    assert [name for name, verdict in verdicts.items() if verdict == "wrong"] == []
    assert figures["equal"] >= (80 if schemas == "recorded" else 600)


def _verdict(content: bytes, classes: dict[str, Any], row: dict[str, str], schemas: str) -> str:
    document = json.loads(content)
    try:
        graph = convert(document, classes).graph
    except CannotConvert as refusal:
        return f"refused: {', '.join(sorted({reason.why.value for reason in refusal.reasons})) or 'wrong'}"
    if row.get("file") != kept.file_digest(content):
        return "converted, newer than what the editor was asked about"
    if row[schemas].startswith("error:"):
        return "converted, where the editor fails"
    return "equal" if row[schemas] == kept.digest(graph, document) else "wrong"
