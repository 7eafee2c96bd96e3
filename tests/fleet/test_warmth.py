"""What is warm is what ran last and fits; nothing is believed to be loaded after it had to leave."""

from hypothesis import given
from hypothesis import strategies as st

from atelier.fleet.requirements import lane_of
from atelier.fleet.warmth import GIB, UNKNOWN, USABLE, Warmth, sizes_of

BIG = 1000 * GIB


def test_the_lane_that_ran_last_is_warm_however_small_the_server() -> None:
    warmth = Warmth(vram=0)

    warmth.ran("a.safetensors")
    warmth.ran("b.safetensors|c.safetensors")

    assert warmth.lanes() == {"b.safetensors|c.safetensors"}


def test_a_server_with_room_keeps_several_lanes_and_the_least_recently_used_leaves() -> None:
    warmth = Warmth(vram=int(2.5 * UNKNOWN / USABLE))

    for lane in ("a", "b", "a", "c"):
        warmth.ran(lane)

    assert warmth.lanes() == {"a", "c"}


def test_a_lane_is_warm_only_while_all_of_its_files_are() -> None:
    warmth = Warmth(vram=int(3.5 * UNKNOWN / USABLE))

    warmth.ran("a|vae")
    warmth.ran("b|vae")
    assert warmth.lanes() == {"a|vae", "b|vae"}
    warmth.ran("c|vae")

    assert warmth.lanes() == {"b|vae", "c|vae"}
    assert not warmth.has("a|vae")


def test_a_lane_of_files_that_others_brought_is_warm_too() -> None:
    warmth = Warmth(vram=BIG)

    warmth.ran("a|clip")
    warmth.ran("b|vae")

    assert warmth.has("a|vae")
    assert not warmth.has("a|other")


def test_what_the_server_says_of_its_files_goes_before_the_estimate() -> None:
    estimated, told = Warmth(vram=4 * GIB), Warmth(vram=4 * GIB, served={"a": GIB})
    told.serve({"b": GIB})

    for warmth in (estimated, told):
        warmth.ran("a", {"a": 6 * GIB})
        warmth.ran("b", {"b": 6 * GIB})

    assert estimated.lanes() == {"b"}
    assert told.lanes() == {"a", "b"}


def test_nothing_is_warm_after_all_was_forgotten() -> None:
    warmth = Warmth(vram=BIG)
    warmth.ran("a")

    warmth.forget()

    assert warmth.lanes() == frozenset()
    assert not warmth.has("a")


def test_a_job_without_models_needs_nothing_and_pushes_nothing_out() -> None:
    warmth = Warmth(vram=0)
    warmth.ran("a")

    warmth.ran("")

    assert warmth.lanes() == {"a"}
    assert warmth.has("")


def test_the_sizes_of_a_graph_are_those_of_the_files_of_its_lane() -> None:
    graph = {
        "1": {"class_type": "UNETLoader", "inputs": {"unet_name": "flux.safetensors"}},
        "2": {"class_type": "DualCLIPLoader", "inputs": {"clip_name1": "l.safetensors", "clip_name2": ["9", 0]}},
        "3": {"class_type": "VAELoader", "inputs": {"vae_name": "ae.safetensors"}},
        "4": {"class_type": "LoraLoader", "inputs": {"lora_name": "style.safetensors"}},
    }

    sizes = sizes_of(graph)

    assert "|".join(sorted(sizes)) == lane_of(graph)
    assert sizes["flux.safetensors"] > sizes["l.safetensors"] > sizes["ae.safetensors"] > 0


@given(
    st.lists(st.lists(st.sampled_from("abcdefg"), min_size=1, max_size=3, unique=True), max_size=20),
    st.integers(0, 8 * UNKNOWN),
)
def test_what_is_warm_fits_or_is_the_last_lane_alone(runs: list[list[str]], vram: int) -> None:
    warmth = Warmth(vram)

    for files in runs:
        warmth.ran("|".join(sorted(files)))

        last = "|".join(sorted(files))
        held = {name for lane in warmth.lanes() for name in lane.split("|")}
        assert last in warmth.lanes()
        assert held == set(files) or len(held) * UNKNOWN <= vram * USABLE
