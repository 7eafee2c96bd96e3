import contextlib
import json
import uuid
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atelier.comfy.refusals import InvalidWorkflow
from atelier.dialects.comfyui.commands import ids_to_delete, parse_command, parse_lenient
from atelier.dialects.comfyui.numbers import shown_number, whole
from atelier.dialects.comfyui.parsing import SECRETS, parse_prompt
from atelier.intake.native import NativeOrder
from atelier.kit.errors import Refusal
from atelier.kit.http.bodies import BodyTooLarge, MalformedBody

GRAPH = {"1": {"class_type": "PreviewAny", "inputs": {"source": 1}}}


def parse(**members: Any) -> NativeOrder:
    return parse_prompt(json.dumps({"prompt": GRAPH, **members}).encode())


def refusal(**members: Any) -> dict[str, Any]:
    with pytest.raises(InvalidWorkflow) as refused:
        parse(**members)
    assert refused.value.details
    error: dict[str, Any] = refused.value.details["error"]
    return error


def test_a_bare_prompt_asks_for_nothing_else() -> None:
    order = parse()

    assert order.graph == GRAPH
    assert (order.prompt_id, order.number, order.front, order.client_id) == (None, None, False, None)
    assert (order.extra_data, order.targets, order.secrets) == ({}, None, None)
    assert order.size == len(json.dumps({"prompt": GRAPH}))


def test_everything_that_a_client_may_say_is_kept() -> None:
    own = uuid.uuid4()

    order = parse(
        prompt_id=str(own),
        client_id="me",
        number=-3,
        front=True,
        extra_data={"extra_pnginfo": {"workflow": {"id": "w"}}, "preview_method": "auto"},
        partial_execution_targets=["1"],
    )

    assert (order.prompt_id, order.client_id, order.number, order.front) == (own, "me", -3.0, True)
    assert order.extra_data == {"extra_pnginfo": {"workflow": {"id": "w"}}, "preview_method": "auto"}
    assert order.targets == ["1"]


def test_null_is_as_good_as_nothing() -> None:
    order = parse(
        prompt_id=None, client_id=None, number=None, front=None, extra_data=None, partial_execution_targets=None
    )

    assert order == NativeOrder(
        graph=GRAPH,
        prompt_id=None,
        number=None,
        front=False,
        client_id=None,
        extra_data={},
        targets=None,
        secrets=None,
        size=order.size,
    )


@pytest.mark.parametrize("body", [b"{}", b"[]", b'"x"', b"5", b"null", b'{"client_id": "x"}'])
def test_what_holds_no_prompt_is_answered_as_by_a_server(body: bytes) -> None:
    with pytest.raises(InvalidWorkflow) as refused:
        parse_prompt(body)

    assert refused.value.details == {
        "error": {
            "type": "no_prompt",
            "message": "No prompt provided",
            "details": "No prompt provided",
            "extra_info": {},
        },
        "node_errors": {},
    }


@pytest.mark.parametrize(
    ("body", "cure"),
    [
        (b'{"1": {"class_type": "EmptyImage", "inputs": {}}}', 'under "prompt"'),
        (b'{"nodes": [{"id": 1, "type": "EmptyImage"}], "links": []}', "Export (API)"),
    ],
)
def test_a_graph_without_its_envelope_is_told_where_it_belongs(body: bytes, cure: str) -> None:
    with pytest.raises(InvalidWorkflow) as refused:
        parse_prompt(body)

    assert refused.value.details is not None
    error = refused.value.details["error"]
    assert error["type"] == "no_prompt"
    assert cure in error["details"]


@pytest.mark.parametrize("body", [b"", b'{"prompt": {', b'{"prompt": "\xff\xfe"}', b'{"prompt": {"1": NaN}}'])
def test_what_is_no_json_is_a_mistake_of_its_sender(body: bytes) -> None:
    with pytest.raises(MalformedBody):
        parse_prompt(body)


def test_a_body_of_very_many_values_is_too_large() -> None:
    with pytest.raises(BodyTooLarge):
        parse_prompt(b'{"prompt": [' + b"0," * 700_000 + b"0]}")


@pytest.mark.parametrize(
    "prompt_id",
    [
        "my-own-id",
        12345,
        "",
        [],
        "3F2504E0-4F89-11D3-9A0C-0305E82C3301",
        "{3f2504e0-4f89-11d3-9a0c-0305e82c3301}",
        "3f2504e04f8911d39a0c0305e82c3301",
    ],
)
def test_an_id_of_ones_own_is_a_canonical_uuid(prompt_id: object) -> None:
    assert refusal(prompt_id=prompt_id)["type"] == "invalid_prompt_id"


@pytest.mark.parametrize("client_id", [[], {}, 5, True, "x" * 1_001])
def test_a_client_id_that_is_no_text_never_reaches_a_server(client_id: object) -> None:
    assert refusal(client_id=client_id)["type"] == "invalid_client_id"
    assert refusal(extra_data={"client_id": client_id})["type"] == "invalid_client_id"


def test_a_client_id_inside_of_extra_data_counts_where_there_is_no_other() -> None:
    assert parse(extra_data={"client_id": "inner"}).client_id == "inner"
    assert parse(extra_data={"client_id": "inner"}, client_id="outer").client_id == "outer"
    assert parse(extra_data={"client_id": "inner"}, client_id=None).client_id is None


@pytest.mark.parametrize("extra_data", [[], "x", 5, True])
def test_extra_data_is_an_object(extra_data: object) -> None:
    assert refusal(extra_data=extra_data)["type"] == "invalid_extra_data"


def test_extra_data_is_bounded() -> None:
    deep: dict[str, Any] = {}
    for _ in range(200):
        deep = {"in": deep}

    assert refusal(extra_data=deep)["type"] == "invalid_extra_data"
    assert refusal(extra_data={"n": 10**30})["type"] == "invalid_extra_data"
    assert parse(extra_data={"note": "x" * 2_000_000}).extra_data


@pytest.mark.parametrize("number", ["abc", "5", True, [], {}, 10**400])
def test_a_number_is_a_finite_number(number: object) -> None:
    assert refusal(number=number)["type"] == "invalid_number"


@pytest.mark.parametrize("targets", ["1", {}, [1], [None], 5])
def test_targets_are_a_list_of_node_ids(targets: object) -> None:
    assert refusal(partial_execution_targets=targets)["type"] == "invalid_partial_execution_targets"


def test_no_targets_at_all_are_not_the_same_as_an_empty_list() -> None:
    assert parse(partial_execution_targets=[]).targets == []


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)
MEMBERS = st.sampled_from(
    ("prompt", "prompt_id", "client_id", "number", "front", "extra_data", "partial_execution_targets")
)


@given(st.dictionaries(MEMBERS, JSON))
def test_whatever_comes_is_an_order_or_a_refusal(body: dict[str, Any]) -> None:
    with contextlib.suppress(Refusal):
        order = parse_prompt(json.dumps(body).encode())

        assert isinstance(order.client_id, str | None)
        assert isinstance(order.extra_data, dict)
        assert order.extra_data.keys().isdisjoint((*SECRETS, "client_id", "create_time"))


def test_secrets_are_taken_out_of_what_anybody_may_see() -> None:
    order = parse(extra_data={"auth_token_comfy_org": "S1", "api_key_comfy_org": "S2", "mine": 1})

    assert order.extra_data == {"mine": 1}
    assert order.secrets == {"auth_token_comfy_org": "S1", "api_key_comfy_org": "S2"}
    assert parse(extra_data={"api_key_comfy_org": None, "auth_token_comfy_org": ""}).secrets is None


@pytest.mark.parametrize("secret", [["s3cret"], {"s3cret": 1}, "s3cret" * 4_000])
def test_a_secret_that_is_none_is_refused_without_being_repeated(secret: object) -> None:
    error = refusal(extra_data={"api_key_comfy_org": secret})

    assert error["type"] == "invalid_extra_data"
    assert "s3cret" not in json.dumps(error)


def test_the_moment_of_arrival_is_not_the_clients_to_say() -> None:
    assert parse(extra_data={"create_time": 1}).extra_data == {}


def test_where_a_request_comes_from_is_kept_unless_its_body_says_so_itself() -> None:
    bare = json.dumps({"prompt": GRAPH}).encode()
    telling = json.dumps({"prompt": GRAPH, "extra_data": {"comfy_usage_source": "body"}}).encode()

    assert parse_prompt(bare, "header").extra_data == {"comfy_usage_source": "header"}
    assert parse_prompt(telling, "header").extra_data == {"comfy_usage_source": "body"}


def test_ids_to_delete_name_each_prompt_once() -> None:
    own = str(uuid.uuid4())

    assert ids_to_delete({"delete": [own, "zzz", 5, None, own]}) == [own]
    assert ids_to_delete({}) == []
    with pytest.raises(MalformedBody):
        ids_to_delete({"delete": own})


@pytest.mark.parametrize("body", [b"", b"{bad", b"\xff", b"{}"])
def test_an_interrupt_that_says_nothing_readable_says_nothing(body: bytes) -> None:
    assert parse_lenient(body) == {}


@pytest.mark.parametrize("body", [b"[]", b"5", b'"x"', b"null"])
def test_other_json_is_no_command(body: bytes) -> None:
    with pytest.raises(MalformedBody):
        parse_lenient(body)
    with pytest.raises(MalformedBody):
        parse_command(body)


def test_numbers_are_shown_whole_where_they_are() -> None:
    assert [shown_number(number) for number in (3.0, -62.0, 0.5, 1e300)] == [3, -62, 0.5, 1e300]
    assert isinstance(shown_number(3.0), int)
    assert isinstance(shown_number(1e300), float)


def test_whole_numbers_are_read_as_python_reads_them() -> None:
    assert [whole(text) for text in (None, "5", " -1 ", "9" * 30)] == [None, 5, -1, 10**15]
    with pytest.raises(ValueError, match="abc"):
        whole("abc")
