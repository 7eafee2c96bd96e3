"""The workflow that is measured: the very graph that is asked for raw beside it, its colour a parameter."""

from pathlib import Path
from typing import Any

from atelier.entry.state import database
from atelier.workflows import manifest as manifests
from atelier.workflows import service
from atelier.workflows.store.revisions import NewRevision
from tools.bench import ground
from tools.bench.graphs import Graph, plain

ID = "bench-plain"

_MANIFEST: dict[str, Any] = {
    "id": ID,
    "name": "A plain picture",
    "description": "One small colour in two nodes.",
    "category": "other",
    "family": "other",
    "version": "1.0.0",
    "parameters": {
        "seed": {"type": "seed", "default": -1, "max": 0xFFFFFF, "bind": {"node": "1", "input": "color"}},
        "prefix": {
            "type": "string",
            "default": "bench",
            "max": 200,
            "bind": {"node": "2", "input": "filename_prefix"},
        },
    },
    "outputs": [{"node": "2"}],
}


async def publish(state: Path) -> None:
    """Everybody's, before the API starts or seconds before it is asked for."""
    async with database(ground.settings_of(state), lambda _: None) as opened, opened.transaction() as tx:
        await service.save_draft(tx, None, NewRevision(manifests.parse(_MANIFEST), plain()))
        await service.publish(tx, None, ID)


def params_of(graph: Graph) -> dict[str, Any]:
    """What makes of the workflow this `graphs.plain()`."""
    return {"seed": graph["1"]["inputs"]["color"], "prefix": graph["2"]["inputs"]["filename_prefix"]}
