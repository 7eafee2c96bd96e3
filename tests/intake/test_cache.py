"""What makes the same has one key, and whatever could make something else has another."""

import dataclasses
import uuid

from atelier.fleet.inventory import from_object_info
from atelier.fleet.model import ModelRef
from atelier.intake import cache
from atelier.jobs.recipe import Finish, Metadata, PictureFormat
from atelier.kit.ids import AccountId, AssetId
from atelier.workflows.model import Origin, Workflow
from support.workshop import GRAPH, manifest

WORKFLOW = Workflow(1, 1, Origin.SHIPPED, None, manifest(), GRAPH, b"d" * 32)
ONE, OTHER = AssetId(uuid.UUID(int=1)), AssetId(uuid.UUID(int=2))
BOAT = ModelRef("CheckpointLoaderSimple", "ckpt_name", "boat.safetensors")


def text(asset_id: AssetId) -> str:
    return f'{{"1":{{"image":"{asset_id}"}}}}'


def key(graph_text: str = "{}", **given: object) -> bytes:
    usual: dict[str, object] = {"files": {}, "sizes": [], "finish": Finish()}
    return cache.key(WORKFLOW, graph_text, **(usual | given))  # type: ignore[arg-type]


def test_the_same_is_the_same() -> None:
    assert key() == key()
    assert len(key()) == 32


def test_files_count_by_their_content_and_not_by_their_ids() -> None:
    same = key(text(ONE), files={ONE: b"a" * 32}) == key(text(OTHER), files={OTHER: b"a" * 32})
    changed = key(text(ONE), files={ONE: b"a" * 32}) == key(text(ONE), files={ONE: b"b" * 32})

    assert (same, changed) == (True, False)


def test_another_graph_revision_or_delivery_is_another_result() -> None:
    revised = dataclasses.replace(WORKFLOW, digest=b"e" * 32)
    keys = {
        key(),
        key('{"seed":2}'),
        cache.key(revised, "{}", {}, [], Finish()),
        key(finish=Finish(format=PictureFormat.WEBP)),
        key(finish=Finish(quality=70)),
        key(finish=Finish(metadata=Metadata.STRIP)),
        key(finish=Finish(nodes=("7",))),
    }

    assert len(keys) == 7


def test_what_a_picture_says_of_itself_follows_from_the_rest() -> None:
    assert key(finish=Finish(said={"seed": 1})) == key()


def test_a_model_file_of_another_size_makes_something_else() -> None:
    def sizes(*told: int) -> cache.Sizes:
        known = [from_object_info({}, {"checkpoints": {"boat.safetensors": size, "x": 9}}) for size in told]
        return cache.sizes_of([BOAT, BOAT], known)

    assert sizes(5) == sizes(5, 5) == sizes(5, 0) == [("boat.safetensors", [5])]
    assert sizes(6, 5) == [("boat.safetensors", [5, 6])]
    assert len({key(sizes=sizes(*told)) for told in [(5,), (6,), (5, 6), (0,)]}) == 4


def test_accounts_have_keys_of_their_own() -> None:
    accounts = [AccountId(uuid.UUID(int=number)) for number in range(3)]

    assert len({key(), *(cache.of_account(key(), account) for account in accounts)}) == 4


def test_what_was_drawn_a_draft_and_what_changes_by_itself_is_made_each_time() -> None:
    tagged = dataclasses.replace(WORKFLOW, manifest=manifest(tags=["nondeterministic"]))

    assert cache.repeats(WORKFLOW, drawn=False)
    assert not cache.repeats(WORKFLOW, drawn=True)
    assert not cache.repeats(dataclasses.replace(WORKFLOW, draft=True), drawn=False)
    assert not cache.repeats(tagged, drawn=False)
