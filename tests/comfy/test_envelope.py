import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atelier.comfy.envelope import PromptRequest, parse_extra_data, parse_request
from atelier.comfy.graph import InvalidWorkflow
from support.comfy_graphs import picture

UUID = "a9daa504-1ce7-4ecc-aed4-512972682f81"
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
FIELDS = ["prompt_id", "client_id", "number", "front", "extra_data", "partial_execution_targets"]


def refused(body: Any) -> str:
    with pytest.raises(InvalidWorkflow) as caught:
        parse_request(body)
    assert caught.value.details is not None
    return str(caught.value.details["error"]["type"])


def test_the_least_request_is_a_graph() -> None:
    assert parse_request({"prompt": picture()}) == PromptRequest(picture(), None, None, None, False, {}, None)


def test_every_field_of_a_request_is_read() -> None:
    body = {
        "prompt": picture(),
        "prompt_id": UUID,
        "client_id": "me",
        "number": -2.5,
        "front": True,
        "extra_data": {"extra_pnginfo": {"workflow": {}}},
        "partial_execution_targets": ["2"],
        "unknown": object,
    }

    request = parse_request(body)

    assert request == PromptRequest(
        picture(),
        UUID,
        "me",
        -2.5,
        True,
        {"extra_pnginfo": {"workflow": {}}},
        ("2",),
    )


@pytest.mark.parametrize("body", [None, [], "x", {}, {"client_id": "x"}, {"prompt": None}])
def test_a_request_without_a_graph_is_no_prompt(body: Any) -> None:
    assert refused(body) == "no_prompt"


@pytest.mark.parametrize("client_id", [[], {}, 7, True, "x" * 201])
def test_a_client_id_that_ends_the_whole_server_is_refused(client_id: Any) -> None:
    assert refused({"prompt": picture(), "client_id": client_id}) == "invalid_prompt"


@pytest.mark.parametrize("extra", [None, [], "abc", 5, {"n": math.nan}])
def test_extra_data_that_ends_the_prompt_thread_is_refused(extra: Any) -> None:
    assert refused({"prompt": picture(), "extra_data": extra}) == "invalid_prompt"


def test_extra_data_too_deep_to_be_listed_is_refused() -> None:
    deep: dict[str, Any] = {}
    for _ in range(500):
        deep = {"d": deep}

    with pytest.raises(InvalidWorkflow):
        parse_extra_data(deep)


@pytest.mark.parametrize("prompt_id", ["", "x", UUID.upper(), UUID.replace("-", ""), 5, []])
def test_a_prompt_id_is_a_canonical_uuid(prompt_id: Any) -> None:
    assert refused({"prompt": picture(), "prompt_id": prompt_id}) == "invalid_prompt_id"


@pytest.mark.parametrize("number", ["1", True, [], math.nan, math.inf])
def test_a_number_is_a_number(number: Any) -> None:
    assert refused({"prompt": picture(), "number": number}) == "invalid_prompt"


@pytest.mark.parametrize("targets", [5, "2", [2], {}, [None]])
def test_targets_are_a_list_of_node_ids(targets: Any) -> None:
    assert refused({"prompt": picture(), "partial_execution_targets": targets}) == "invalid_prompt"


@given(st.dictionaries(st.sampled_from(FIELDS), JSON))
def test_no_field_gives_anything_but_a_request_or_a_refusal(fields: dict[str, Any]) -> None:
    try:
        request = parse_request({"prompt": picture(), **fields})
    except InvalidWorkflow:
        return
    assert isinstance(request.client_id, str | None)
