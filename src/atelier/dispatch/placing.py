"""Inputs go to the server that was chosen, under names made of their content, so that they never collide."""

import mimetypes

from atelier.assets import service as assets
from atelier.assets.model import Asset
from atelier.comfy.assets import assets_in, place_assets
from atelier.comfy.client import ComfyClient
from atelier.comfy.links import Graph
from atelier.kit.database import Database
from atelier.kit.ids import JobId
from atelier.storage.model import Storage

FOLDER = "atelier"
"""Below the server's input folder. intake.rules refuses graphs that name files in it."""

KEPT = 10_000
"""Names that are remembered; placing a file again costs an upload and changes nothing."""


class Placer:
    """Puts assets on one server and remembers which are there."""

    def __init__(self, database: Database, storage: Storage, client: ComfyClient) -> None:
        self._database = database
        self._storage = storage
        self._client = client
        self._placed: dict[str, str] = {}

    def forget(self) -> None:
        """The server may have lost its files: place everything anew."""
        self._placed.clear()

    async def place(self, job_id: JobId, graph: Graph) -> Graph:
        """The graph with every core/ASSET replaced by the name that the server knows the file by."""
        if not assets_in(graph):
            return graph
        async with self._database.transaction() as tx:
            inputs = await assets.inputs(tx, job_id)
        return place_assets(graph, {str(asset.id): await self._name(asset) for asset in inputs.values()})

    async def _name(self, asset: Asset) -> str:
        name = asset.blob.hash.hex() + (mimetypes.guess_extension(asset.content_type) or ".bin")
        if name not in self._placed:
            if len(self._placed) >= KEPT:
                self._placed.clear()
            body = await assets.stream(self._storage, asset)
            uploaded = await self._client.upload(
                name, body.chunks, content_type=asset.content_type, subfolder=FOLDER
            )
            self._placed[name] = uploaded.reference
        return self._placed[name]
