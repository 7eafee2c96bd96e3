"""What was said becomes values within their bounds, or everything that is wrong is told at once."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atelier.workflows import manifest as manifests
from atelier.workflows import values
from atelier.workflows.model import Kind, Manifest
from atelier.workflows.values import InvalidParameter
from support import workshop

ASSET = "0199b2c0-1111-7222-8333-444455556666"
TILES = [
    {"value": "1:1", "width": 1024, "height": 1024},
    {"value": "16:9", "width": 1344, "height": 768},
]


def _it(made: Manifest, said: Any) -> Any:
    return values.read(made, {"it": said}).params["it"]


def _wrong(made: Manifest, **said: Any) -> dict[str, Any]:
    """The one error of it."""
    with pytest.raises(InvalidParameter) as refusal:
        values.read(made, said)
    [error] = refusal.value.errors
    return dict(error)


STEPS = workshop.one(type="int", min=1, max=50)


@pytest.mark.parametrize("said", [20, 20.0], ids=repr)
def test_a_whole_number_is_one_however_json_writes_it(said: float) -> None:
    assert _it(STEPS, said) == 20
    assert isinstance(_it(STEPS, said), int)


@pytest.mark.parametrize(
    "said",
    [0, 51, True, "20", 20.5, float("nan"), float("inf"), 1e300, 10**400, [20], {"value": 20}],
    ids=["below", "above", "true", "text", "broken", "nan", "endless", "huge", "enormous", "list", "object"],
)
def test_what_is_no_such_number_is_refused_with_the_bounds(said: Any) -> None:
    error = _wrong(STEPS, it=said)

    assert (error["parameter"], error["min"], error["max"]) == ("it", 1, 50)
    assert "from 1 to 50" in error["message"]


@pytest.mark.parametrize(
    "said",
    [float("nan"), float("inf"), -float("inf"), True, "1.5", 10**400, None],
    ids=lambda said: repr(said)[:9],
)
def test_a_number_is_finite(said: Any) -> None:
    made = workshop.one(type="float", required=True, bind={"node": "Sampler", "input": "cfg"})

    assert "finite" in _wrong(made, it=said)["message"] or said is None


@pytest.mark.parametrize(
    ("said", "used"),
    [(7.0, 7.0), (7.2, 7.0), (7.25, 7.5), (7.3, 7.5), (1, 1.0), (20, 20.0), (7.500000001, 7.5)],
)
def test_a_value_off_the_step_is_taken_to_the_nearest(said: float, used: float) -> None:
    made = workshop.one(type="float", min=1, max=20, step=0.5, bind={"node": "Sampler", "input": "cfg"})

    assert _it(made, said) == used


def test_steps_are_counted_from_the_least_and_never_leave_the_bounds() -> None:
    made = workshop.one(type="int", min=1, max=10, step=4)

    assert [_it(made, said) for said in (1, 2, 3, 6, 9, 10)] == [1, 1, 5, 5, 9, 9]


def test_a_decimal_step_leaves_no_dust() -> None:
    made = workshop.one(type="float", min=0, max=1, step=0.1, bind={"node": "Sampler", "input": "cfg"})

    assert _it(made, 0.1 + 0.2) == 0.3


@pytest.mark.parametrize("said", ["", "   ", "x" * 11, "a\nb", "a\0b", "\ud800", 5, ["x"]], ids=repr)
def test_a_text_has_its_length_and_its_lines(said: Any) -> None:
    made = workshop.one(type="string", required=True, max=10, bind={"node": "Positive", "input": "text"})

    assert _wrong(made, it=said)["max"] == 10


def test_a_long_text_has_lines_and_is_told_its_length() -> None:
    made = workshop.one(type="text", max=10, bind={"node": "Positive", "input": "text"})

    assert _it(made, "a\nb") == "a\nb"
    assert _wrong(made, it="x" * 11)["message"] == "has 11 characters; at most 10 are allowed"


@pytest.mark.parametrize("said", [1, 0, "true", None], ids=repr)
def test_only_true_and_false_are_true_or_false(said: Any) -> None:
    made = workshop.one(type="bool", required=True)

    assert _wrong(made, it=said)["parameter"] == "it"


def test_a_choice_is_one_of_those_and_the_nearest_is_told() -> None:
    made = workshop.one(type="enum", choices=["euler", "dpmpp_2m"])

    error = _wrong(made, it="eulr")

    assert error["allowed"] == ["euler", "dpmpp_2m"]
    assert error["nearest"] == ["euler"]
    assert _it(made, "dpmpp_2m") == "dpmpp_2m"


def test_a_file_is_named_by_its_asset() -> None:
    made = workshop.one(type="image", required=True)

    assert _it(made, ASSET.upper()) == ASSET
    assert _wrong(made, it="photo.png")["message"].startswith("must be the id of an asset")


def test_a_list_of_pictures_has_its_count() -> None:
    made = workshop.one(type="images", min=1, max=2)

    assert _it(made, [ASSET]) == [ASSET]
    assert _wrong(made, it=[])["min"] == 1
    assert _wrong(made, it=[ASSET] * 3)["max"] == 2
    assert _wrong(made, it=[ASSET, "x"])["message"].startswith("[1] must be")


def test_a_model_is_one_that_some_server_has_once_that_is_known() -> None:
    made = workshop.one(type="model", folder="checkpoints", bind={"node": "Checkpoint", "input": "ckpt_name"})

    with pytest.raises(InvalidParameter) as refusal:
        values.read(made, {"it": "sd15.safetensor"}, models=lambda _: ["sd15.safetensors"])

    assert refusal.value.errors[0]["nearest"] == ["sd15.safetensors"]
    assert values.read(made, {"it": "sd15.ckpt"}, models=lambda _: ()).params["it"] == "sd15.ckpt"


@pytest.mark.parametrize(
    "said", ["", "../x", "/etc/passwd", "C:\\x", "x" * 500, 5], ids=lambda said: repr(said)[:9]
)
def test_a_model_is_a_name_inside_its_folder(said: Any) -> None:
    made = workshop.one(type="model", folder="checkpoints", bind={"node": "Checkpoint", "input": "ckpt_name"})

    assert _wrong(made, it=said)["parameter"] == "it"


LORAS = workshop.one(type="loras", max=2, bind=None, chain={"node": "Checkpoint"})


def test_loras_are_half_strong_unless_somebody_says() -> None:
    used = _it(LORAS, ["a.safetensors", {"name": "b.safetensors", "strength": 2}])

    assert used == [{"name": "a.safetensors", "strength": 0.5}, {"name": "b.safetensors", "strength": 2.0}]


@pytest.mark.parametrize(
    ("said", "message"),
    [
        pytest.param(["a", "b", "c"], "names 3 LoRAs", id="three"),
        pytest.param([{"name": "a", "strength": 2.1}], "[0] strength must be from 0.0 to 2.0", id="strong"),
        pytest.param([{"name": "a", "strength": True}], "[0] strength must be a finite number", id="true"),
        pytest.param([{"strength": 1}], "[0] must be a file's name", id="nameless"),
        pytest.param([{"name": "a", "weight": 1}], "[0] must be a file's name", id="unknown member"),
        pytest.param("a", "must be a list", id="no list"),
    ],
)
def test_a_wrong_lora_is_told_with_its_place(said: Any, message: str) -> None:
    assert message in _wrong(LORAS, it=said)["message"]


def test_one_strength_may_be_said_for_all_loras() -> None:
    made = workshop.one(type="loras", default=["a"], bind=None, chain={"node": "Checkpoint"})

    by_default = values.read(made, {"lora_strength": 1.5})
    given_ones = values.read(made, {"it": [{"name": "b", "strength": 0.1}], "lora_strength": 1})

    assert by_default.params == {"it": [{"name": "a", "strength": 1.5}]}
    assert given_ones.params == {"it": [{"name": "b", "strength": 1.0}]}
    assert _wrong(made, lora_strength=3)["parameter"] == "lora_strength"


def test_who_takes_no_loras_takes_no_strength_of_them() -> None:
    assert "no such parameter" in _wrong(STEPS, lora_strength=1)["message"]


SIZE = workshop.one(
    type="aspect_ratio",
    choices=TILES,
    min=256,
    max=2048,
    step=64,
    bind={"node": "Latent", "input": "width", "part": "width"},
)


@pytest.mark.parametrize(
    ("said", "used"),
    [
        ("16:9", "16:9"),
        ("640x480", "640x512"),
        ("1024 X 768", "1024x768"),
        ("1024\u00d7768", "1024x768"),
        ({"width": 512, "height": 300}, "512x320"),
    ],
)
def test_a_size_is_a_tile_or_pixels(said: Any, used: str) -> None:
    assert _it(SIZE, said) == used


@pytest.mark.parametrize(
    "said", ["3:2", "100x512", "512x9999", "x", {"width": 512}, {"width": "a", "height": 1}, 512, True], ids=repr
)
def test_what_is_no_size_is_refused(said: Any) -> None:
    assert _wrong(SIZE, it=said)["allowed"] == ["1:1", "16:9"]


def test_where_only_tiles_are_there_nothing_else_is_taken() -> None:
    bind = {"node": "Latent", "input": "width", "part": "width"}
    made = workshop.one(type="aspect_ratio", choices=TILES, bind=bind)

    assert "must be one of 1:1, 16:9" in _wrong(made, it="1024x1024")["message"]


SEED = workshop.one(type="seed", default=-1, bind={"node": "Sampler", "input": "seed"})


def test_a_random_seed_is_drawn_and_told() -> None:
    drawn = [values.read(SEED, {}) for _ in range(20)]

    assert all(one.drawn and one.seed == one.params["it"] for one in drawn)
    assert all(one.seed is not None and 0 <= one.seed <= 2**31 - 1 for one in drawn)
    assert len({one.seed for one in drawn}) > 1


def test_a_seed_that_was_said_is_used() -> None:
    used = values.read(SEED, {"it": 2147483647})

    assert (used.seed, used.drawn) == (2147483647, False)
    assert (_wrong(SEED, it=-2)["min"], _wrong(SEED, it=2147483648)["max"]) == (-1, 2147483647)


def test_everything_wrong_is_told_at_once_with_the_nearest_names() -> None:
    with pytest.raises(InvalidParameter) as refusal:
        values.read(workshop.manifest(), {"promt": "x", "steps": 500, "seed": "x"})

    assert [error["parameter"] for error in refusal.value.errors] == ["prompt", "steps", "seed", "promt"]
    assert refusal.value.errors[-1]["nearest"][0] == "prompt"
    assert refusal.value.details == {"errors": list(refusal.value.errors)}
    assert "steps must be from 1 to 50, not 500." in refusal.value.message


def test_null_is_not_said() -> None:
    assert values.read(workshop.manifest(), {"prompt": "x", "steps": None}).params["steps"] == 20


def test_a_thousand_unknown_names_are_told_in_part() -> None:
    with pytest.raises(InvalidParameter) as refusal:
        values.read(workshop.manifest(), {f"p{n}": 1 for n in range(1000)} | {"prompt": "x"})

    assert len(refusal.value.errors) == 50
    assert "950 more are wrong" in refusal.value.message


def _conditional() -> Manifest:
    sampler = {"node": "Sampler", "input": "steps"}
    cfg = {"node": "Sampler", "input": "cfg"}
    return manifests.parse(
        workshop.with_parameters(
            strength={
                "type": "float",
                "required": True,
                "bind": cfg,
                "depends_on": {"parameter": "mode", "values": ["strong"]},
            },
            mode={"type": "enum", "choices": ["plain", "strong"], "default": "plain", "bind": sampler},
        ),
        folder_id="boats",
    )


def test_what_depends_on_something_counts_only_then() -> None:
    plain = values.read(_conditional(), {"strength": "anything at all"})
    strong = values.read(_conditional(), {"mode": "strong", "strength": 2})

    assert plain.params == {"mode": "plain"}
    assert strong.params == {"strength": 2.0, "mode": "strong"}
    assert _wrong(_conditional(), mode="strong")["parameter"] == "strength"


def test_what_is_said_beside_the_params_finds_its_parameter() -> None:
    made = manifests.parse(
        workshop.document(inputs={"photo": {"type": "image", "bind": {"node": "Photo", "input": "image"}}}),
        folder_id="boats",
    )

    found = values.at_top(made, {"prompt": "x", "seed": 5, "input_image": ASSET, "mask": None})

    assert found == {"prompt": "x", "seed": 5, "photo": ASSET}
    with pytest.raises(InvalidParameter, match="mask boats takes none"):
        values.at_top(made, {"mask": ASSET})


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
EVERY = manifests.parse(
    workshop.with_parameters(
        text={"type": "text", "bind": {"node": "Positive", "input": "text"}},
        line={"type": "string", "max": 9, "bind": {"node": "Negative", "input": "text"}},
        whole={"type": "int", "min": -3, "max": 9, "step": 2, "bind": {"node": "Sampler", "input": "steps"}},
        number={"type": "float", "min": 0, "step": 0.3, "bind": {"node": "Sampler", "input": "cfg"}},
        flag={"type": "bool", "bind": {"node": "Sampler", "input": "denoise"}},
        choice={"type": "enum", "choices": ["a", "b"], "bind": {"node": "Sampler", "input": "scheduler"}},
        photo={"type": "image", "bind": {"node": "Photo", "input": "image"}},
        photos={"type": "images", "batch": {"node": "Many", "input": "image"}},
        model={"type": "model", "folder": "checkpoints", "bind": {"node": "Checkpoint", "input": "ckpt_name"}},
        loras={"type": "loras", "chain": {"node": "Checkpoint"}},
        seed={"type": "seed", "default": -1, "bind": {"node": "Sampler", "input": "seed"}},
        size={
            "type": "aspect_ratio",
            "choices": TILES,
            "min": 64,
            "max": 999,
            "bind": {"node": "Latent", "input": "width", "part": "width"},
        },
    ),
    folder_id="boats",
)


@given(st.dictionaries(st.sampled_from([one.name for one in EVERY.parameters]), JSON))
def test_whatever_is_said_is_used_or_refused_by_name(said: dict[str, Any]) -> None:
    try:
        used = values.read(EVERY, said)
    except InvalidParameter as wrong:
        refusal = wrong
    else:
        json.dumps(used.params, allow_nan=False)
        assert values.read(EVERY, used.params).params == used.params
        return

    json.dumps(refusal.details, allow_nan=False).encode()
    refusal.message.encode()
    assert {error["parameter"] for error in refusal.errors} <= said.keys()


@given(st.floats(allow_nan=False, allow_infinity=False), st.floats(0.001, 1e6), st.integers(-1000, 1000))
def test_a_step_keeps_within_the_bounds_and_half_a_step_near(value: float, step: float, least: int) -> None:
    most = least + 10_000
    bind = {"node": "Sampler", "input": "cfg"}
    made = workshop.one(type="float", min=least, max=most, step=step, bind=bind)
    if not least <= value <= most:
        assert _wrong(made, it=value)["parameter"] == "it"
        return

    used = _it(made, value)

    assert least <= used <= most
    assert abs(used - value) <= step


def test_every_kind_is_among_those_tried() -> None:
    assert {one.kind for one in EVERY.parameters} == set(Kind) - {Kind.MASK}
