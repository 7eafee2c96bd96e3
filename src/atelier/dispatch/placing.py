"""Inputs go to the server that was chosen, under names made of their content, so that they never collide.

Each content is brought once, and the database remembers it; whether it still lies there is asked once after every
doubt. Outputs get a folder per day and attempt. Both are written down, so that they can be removed.
"""

import asyncio
import mimetypes
import secrets
from collections import defaultdict
from collections.abc import Mapping
from pathlib import PurePosixPath

import structlog

from atelier.assets import service as assets
from atelier.assets.model import Asset
from atelier.comfy.assets import assets_in, place_assets
from atelier.comfy.client import ComfyClient
from atelier.comfy.errors import Rejected
from atelier.comfy.links import Graph
from atelier.comfy.prefixes import rewrite_prefixes
from atelier.comfy.rewriting import FOLDER, run_folder
from atelier.comfy.uploads import UploadedFile
from atelier.fleet.store import deposits
from atelier.fleet.store.deposits import Deposit
from atelier.kit import clock
from atelier.kit.database import Database
from atelier.kit.ids import JobId, ServerId
from atelier.storage.model import Storage

INPUT = f"input/{FOLDER}"
"""intake.rules refuses graphs that name files in it."""

KEPT = 10_000
"""Files that are known to lie there; asking for one again costs a millisecond."""

_log = structlog.get_logger(__name__)


class Placer:
    """Puts assets on one server; several jobs with one input wait for the one upload of it."""

    def __init__(self, database: Database, storage: Storage, client: ComfyClient, server_id: ServerId) -> None:
        self._database = database
        self._storage = storage
        self._client = client
        self._server_id = server_id
        self._sure: set[str] = set()
        self._busy: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._day = ""

    def forget(self) -> None:
        """The server may have lost its files: ask for each before it is used again."""
        self._sure.clear()

    def lacks(self, rejected: Rejected) -> bool:
        """Whether the server refused a graph because a file is gone that we believed to be there."""
        told = repr(rejected.node_errors)
        gone = {path for path in self._sure if PurePosixPath(path).name in told}
        self._sure -= gone
        return bool(gone)

    async def place(self, job_id: JobId, prompt_id: str, graph: Graph) -> Graph:
        """The graph as the server shall get it: every core/ASSET is the name that it knows the file by.

        Saving nodes write under `atelier/{day}/{prompt_id}`.
        """
        day = clock.utcnow().strftime("%Y%m%d")
        if day != self._day:
            async with self._database.transaction() as tx:
                await deposits.add_outputs(tx, self._server_id, day)
            self._day = day
        return rewrite_prefixes(await self._with_inputs(job_id, graph), run_folder(day, prompt_id))

    async def _with_inputs(self, job_id: JobId, graph: Graph) -> Graph:
        if not assets_in(graph):
            return graph
        async with self._database.transaction() as tx:
            inputs = await assets.inputs(tx, job_id)
            known = await deposits.inputs(tx, self._server_id, {_name(asset) for asset in inputs.values()})
        return place_assets(graph, {str(asset.id): await self._place(asset, known) for asset in inputs.values()})

    async def _place(self, asset: Asset, known: Mapping[str, Deposit]) -> str:
        """What a loader node calls the file."""
        name = _name(asset)
        deposit = known.get(name)
        if deposit is not None and deposit.reference in self._sure:
            return _reference(deposit)
        async with self._busy[name]:
            deposit = await self._ready(name, asset)
        if not self._busy[name].locked():
            self._busy.pop(name, None)
        if len(self._sure) >= KEPT:
            self._sure.clear()
        self._sure.add(deposit.reference)
        return _reference(deposit)

    async def _ready(self, name: str, asset: Asset) -> Deposit:
        """The file lies there when this returns; another job may have brought it while we waited."""
        async with self._database.transaction() as tx:
            known = (await deposits.inputs(tx, self._server_id, [name])).get(name)
        if known is not None and (known.reference in self._sure or await self._lies_there(known)):
            return known
        return await self._bring(known or await self._written_down(name, asset), asset)

    async def _lies_there(self, deposit: Deposit) -> bool:
        path = PurePosixPath(deposit.reference)
        size = await self._client.size_of(UploadedFile(path.name, FOLDER, "input"))
        return size is not None and size in {-1, deposit.size}

    async def _written_down(self, name: str, asset: Asset) -> Deposit:
        """Before it is brought, so that nothing of ours lies there unknown."""
        plain = PurePosixPath(name)
        deposit = Deposit(name, f"{INPUT}/{plain.stem}-{secrets.token_hex(3)}{plain.suffix}", asset.size)
        await self._write_down(deposit)
        return deposit

    async def _write_down(self, deposit: Deposit) -> None:
        async with self._database.transaction() as tx:
            await deposits.add(tx, self._server_id, deposit)

    async def _bring(self, deposit: Deposit, asset: Asset) -> Deposit:
        """A server that has other bytes under this name (half of ours) keeps both, and says how it calls ours."""
        body = await assets.stream(self._storage, asset)
        uploaded = await self._client.upload(
            PurePosixPath(deposit.reference).name,
            body.chunks,
            content_type=asset.content_type,
            subfolder=FOLDER,
        )
        brought = Deposit(deposit.name, f"{uploaded.type}/{uploaded.subfolder}/{uploaded.name}", deposit.size)
        if brought.reference != deposit.reference:
            await self._write_down(brought)
        return brought


def _name(asset: Asset) -> str:
    return asset.blob.hash.hex() + (mimetypes.guess_extension(asset.content_type) or ".bin")


def _reference(deposit: Deposit) -> str:
    """What a loader's input says: the path below the input folder."""
    return deposit.reference.removeprefix("input/")
