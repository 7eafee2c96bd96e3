"""What names a result: two jobs of one key would make the same files, as far as anybody can know.

The bound graph says all that a run is given, with each file named by its content; a model file counts by its size,
because ComfyUI tells no more of it.
"""

import json
from collections.abc import Iterable, Mapping, Sequence

from blake3 import blake3

from atelier.fleet.inventory import Inventory
from atelier.fleet.model import ModelRef
from atelier.jobs.recipe import Finish
from atelier.kit.ids import AccountId, AssetId
from atelier.workflows.model import Workflow

FORM = "1"
"""Counted up when the same key would no longer name the same files."""

CHANGING = "nondeterministic"
"""The tag of a workflow that makes something else each time, whatever it is given."""

Sizes = Sequence[tuple[str, Sequence[int]]]
"""Model files by name, each with the sizes in bytes that the fleet's servers tell of it."""


def repeats(workflow: Workflow, *, drawn: bool) -> bool:
    """Whether a job of it may take an earlier one's files. `drawn`: its seed was drawn, to get another one.

    A draft is tried out by its author, who wants to see it run.
    """
    return not (drawn or workflow.draft or CHANGING in workflow.manifest.tags)


def key(
    workflow: Workflow, graph_text: str, files: Mapping[AssetId, bytes], sizes: Sizes, finish: Finish | None
) -> bytes:
    """32 bytes. `graph_text` is the bound graph, spelled canonically; `files` are the contents of its assets."""
    for asset_id, digest in files.items():
        graph_text = graph_text.replace(str(asset_id), digest.hex())
    whole = [FORM, workflow.digest.hex(), graph_text, sizes, _delivered(finish)]
    return blake3(json.dumps(whole, separators=(",", ":")).encode()).digest()


def of_account(key: bytes, account_id: AccountId) -> bytes:
    """The same result, for this account alone."""
    return blake3(key, key=blake3(account_id.bytes).digest()).digest()


def sizes_of(models: Iterable[ModelRef], known: Iterable[Inventory]) -> Sizes:
    """A file that is replaced by one of another size is another one; so is one that comes to be there in two."""
    inventories = list(known)
    names = sorted({ref.value for ref in models})
    return [(name, sorted({one.sizes.get(name, 0) for one in inventories} - {0})) for name in names]


def _delivered(finish: Finish | None) -> Sequence[object]:
    """What is done to the files. What they say of themselves follows from workflow and parameters."""
    if finish is None:
        return []
    return [finish.format, finish.quality, finish.metadata, list(finish.nodes)]
