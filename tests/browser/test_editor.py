"""The official editor of ComfyUI in a real browser: what a person does there, as if it were one ComfyUI."""

import pytest

from browser.conftest import People
from browser.editor import Editor
from conformance import graphs
from conformance.installation import Installation

pytestmark = pytest.mark.timeout(180)


def test_a_person_runs_what_is_there_watches_it_and_sees_the_picture(person: Editor) -> None:
    person.run()
    person.wait_for_end()
    address = person.wait_for_picture()

    assert "filename=ComfyUI_" in address
    assert {"execution_start", "progress", "progress_state", "executed"} <= {one["type"] for one in person.texts()}
    assert any(isinstance(one, bytes) and one[:4] == b"\0\0\0\4" for one in person.frames)
    assert person.jobs().count() == 1
    assert person.complaints == []


def test_a_graph_is_kept_found_after_a_reload_and_opened(person: Editor) -> None:
    person.load(graphs.slow(steps=3).json)
    person.save_as("lighthouse")
    person.reload()

    kept = person.workflows().filter(has_text="lighthouse")
    kept.wait_for()
    kept.click()
    person.page.wait_for_function("() => window.app.graph.nodes.some(node => node.type === 'KSampler')")

    assert person.page.evaluate("window.app.graph.nodes.length") == len(graphs.slow().json)
    assert person.complaints == []


def test_a_running_job_is_canceled(person: Editor) -> None:
    person.load(graphs.endless().json)
    person.run()
    person.wait_for("progress")

    person.cancel()

    assert person.wait_for("execution_interrupted")["node_type"] == "KSampler"
    person.wait_for_end()
    assert person.complaints == []


def test_a_node_that_fails_is_named(person: Editor) -> None:
    person.load(graphs.failing().json)

    person.run()

    assert "Intentional sync execution error" in person.wait_for("execution_error")["exception_message"]
    person.page.get_by_text("Test Sync Error failed").wait_for()


def test_another_account_sees_nothing_of_it(person: Editor, stranger: Editor) -> None:
    person.load(graphs.slow(steps=3).json)
    person.save_as("secret")
    person.run()
    person.wait_for_end()
    address = person.wait_for_picture()

    asked = stranger.page.request.get(address)

    assert asked.status == 404
    assert stranger.jobs().count() == 0
    assert stranger.workflows().count() == 0
    assert stranger.texts() == []
    assert stranger.complaints == []


def test_a_key_in_the_path_opens_it_without_signing_in(people: People, atelier: Installation) -> None:
    editor = people.window()
    editor.open(f"/k/{atelier.key_of('by-path')}/comfy/")

    editor.run()
    editor.wait_for_end()
    complaints = list(editor.complaints)
    editor.page.context.close()

    assert complaints == []
