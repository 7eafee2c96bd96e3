"""Files that a request brings or names are assets of its account before a job reads them.

What was received is kept also when the request is refused in the end: as an asset that expires, which the refusal
names, so that the next request need not send it again. Nothing else of a refused request is left.
"""

import asyncio
import contextlib
import datetime as dt
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from atelier.assets import recording, rules
from atelier.assets import service as assets
from atelier.assets.content_types import UNKNOWN
from atelier.assets.model import Asset, Draft, Received
from atelier.assets.pictures.reading import NotAPicture, PictureTooLarge
from atelier.assets.spool import TooLarge
from atelier.intake.measuring import Size, measured
from atelier.intake.named_files import Address, Inline, InvalidInput, Named, Stored, decoded
from atelier.jobs.service import QueueFull
from atelier.kit import clock
from atelier.kit.database import Database
from atelier.kit.errors import Refusal
from atelier.kit.http import outbound
from atelier.kit.http.outbound import Outbound
from atelier.kit.ids import AccountId, AssetId, new_uuid
from atelier.storage.model import ContentMissing, Storage
from atelier.storage.threads import in_thread

FETCHES = 8
"""Addresses that are fetched at once for one account."""
PATIENCE_SECONDS = 60.0
MOST_RECEIVED = 32
"""Files of one request."""
INLINE_AT_ONCE = 1_000_000
"""Base64 of fewer characters is decoded within some milliseconds."""

ACCEPTED = ("image/*", "application/octet-stream", "binary/octet-stream")
"""What an address may call its file; the bytes say what it is."""

_FETCH_FAULTS = (outbound.ForbiddenAddress, outbound.FetchFailed, outbound.TooLarge)


@dataclass(frozen=True, slots=True)
class Receipts:
    """The files that one request brought, as they came: name of the parameter and asset."""

    taken: list[tuple[str, Asset]] = field(default_factory=list[tuple[str, Asset]])

    def told(self) -> list[dict[str, Any]]:
        return [
            {
                "parameter": parameter,
                "id": str(asset.id),
                "expires_at": clock.rfc3339(asset.expires_at) if asset.expires_at else None,
            }
            for parameter, asset in self.taken
        ]

    @contextlib.contextmanager
    def named(self) -> Generator[None]:
        """A refusal in the block says what was received before it, and for how long it is kept."""
        try:
            yield
        except Refusal as refusal:
            if self.taken:
                refusal.details = {**(refusal.details or {}), "received": self.told()}
            raise


class Fetches:
    """So many at once for each account; who wants more waits."""

    def __init__(self, at_once: int = FETCHES, patience: float = PATIENCE_SECONDS) -> None:
        self._at_once = at_once
        self._patience = patience
        self._turns: dict[AccountId, asyncio.Semaphore] = {}
        self._asked: Counter[AccountId] = Counter()

    @contextlib.asynccontextmanager
    async def turn(self, account_id: AccountId) -> AsyncGenerator[None]:
        """Raises QueueFull."""
        turns = self._turns.setdefault(account_id, asyncio.Semaphore(self._at_once))
        self._asked[account_id] += 1
        try:
            async with contextlib.AsyncExitStack() as held:
                try:
                    async with asyncio.timeout(self._patience):
                        await held.enter_async_context(turns)
                except TimeoutError:
                    raise QueueFull("Many files are fetched for this account already.", retry_after=5) from None
                yield
        finally:
            self._asked[account_id] -= 1
            if not self._asked[account_id]:
                del self._asked[account_id], self._turns[account_id]


@dataclass(frozen=True, slots=True)
class Inputs:
    """`limit` in bytes of one file; `kept`: seconds for which one is kept that nothing else keeps."""

    database: Database
    storage: Storage
    outbound: Outbound
    limit: int
    kept: float
    fetches: Fetches = field(default_factory=Fetches)

    async def asset(self, account_id: AccountId, parameter: str, named: Named, receipts: Receipts) -> Asset:
        """The file as an asset of the account: looked up, or received now. Raises InvalidInput."""
        match named:
            case Stored(asset_id):
                return await self._stored(account_id, parameter, Stored(asset_id))
            case Inline() as inline:
                return await self._inline(account_id, parameter, inline, receipts)
            case Address(url):
                return await self._fetched(account_id, parameter, url, receipts)

    async def all(
        self, account_id: AccountId, wanted: Mapping[str, Sequence[Named]], receipts: Receipts
    ) -> dict[str, tuple[Asset, ...]]:
        """The files of every parameter, in their order; addresses are fetched at the same time."""
        found: dict[tuple[str, int], Asset] = {}

        async def find(parameter: str, place: int, named: Named) -> None:
            found[parameter, place] = await self.asset(account_id, parameter, named, receipts)

        slow = [one for one in _each(wanted) if isinstance(one[2], Address)]
        for one in _each(wanted):
            if one not in slow:
                await find(*one)
        await _together([find(*one) for one in slow])
        return {
            parameter: tuple(found[parameter, place] for place in range(len(several)))
            for parameter, several in wanted.items()
        }

    async def received(
        self,
        account_id: AccountId,
        parameter: str,
        chunks: AsyncIterator[bytes],
        receipts: Receipts,
        filename: str = "",
    ) -> Asset:
        """A file that comes with the request. Raises InvalidInput, and whatever `chunks` raise."""
        try:
            came = await assets.receive(self.database, self.storage, chunks, limit_bytes=self.limit)
        except TooLarge:
            raise self._too_large(parameter) from None
        return await self._kept(account_id, parameter, came, receipts, _path(filename))

    async def size(self, parameter: str, asset: Asset) -> Size:
        """Raises InvalidInput."""
        try:
            return await measured(self.storage, asset)
        except (NotAPicture, PictureTooLarge) as refusal:
            raise InvalidInput(parameter, refusal.message.rstrip("."), refusal.code) from None
        except ContentMissing:
            raise InvalidInput(parameter, "the stored file is lost", "not_found") from None

    async def _stored(self, account_id: AccountId, parameter: str, named: Stored) -> Asset:
        try:
            async with self.database.autocommit() as tx:
                asset = await assets.get(tx, account_id, named.id)
        except assets.AssetNotFound:
            raise InvalidInput(parameter, f"there is no asset {named.id}", "not_found") from None
        _check_type(parameter, asset.blob.content_type)
        return asset

    async def _inline(self, account_id: AccountId, parameter: str, inline: Inline, receipts: Receipts) -> Asset:
        if inline.most_bytes > self.limit + 2:
            raise self._too_large(parameter)
        if len(inline.text) < INLINE_AT_ONCE:
            content = decoded(parameter, inline)
        else:
            content = await in_thread(decoded, parameter, inline)
        try:
            came = await assets.receive_bytes(self.database, self.storage, content, limit_bytes=self.limit)
        except TooLarge:
            raise self._too_large(parameter) from None
        return await self._kept(account_id, parameter, came, receipts)

    async def _fetched(self, account_id: AccountId, parameter: str, url: str, receipts: Receipts) -> Asset:
        async with self.fetches.turn(account_id):
            try:
                async with self.outbound.get(url, limit=self.limit, accept=ACCEPTED) as body:
                    came = await assets.receive(self.database, self.storage, body.chunks, limit_bytes=self.limit)
            except _FETCH_FAULTS as refusal:
                raise InvalidInput(
                    parameter, refusal.message.rstrip("."), refusal.code, **(refusal.details or {})
                ) from None
        return await self._kept(account_id, parameter, came, receipts)

    async def _kept(
        self, account_id: AccountId, parameter: str, came: Received, receipts: Receipts, path: str = ""
    ) -> Asset:
        """Its record, once it is known to be a picture: bytes that are none are forgotten within the hour."""
        if len(receipts.taken) >= MOST_RECEIVED:
            raise InvalidInput(parameter, f"a request brings {MOST_RECEIVED} files at most", "too_many")
        _check_type(parameter, came.content_type)
        await self.size(parameter, _unrecorded(account_id, came))
        draft = Draft(account_id, file_path=path, expires_at=clock.utcnow() + dt.timedelta(seconds=self.kept))
        recorded = await recording.recorded(
            self.database, self.storage, came, lambda tx, received: assets.record(tx, received, draft)
        )
        receipts.taken.append((parameter, recorded.asset))
        return recorded.asset

    def _too_large(self, parameter: str) -> InvalidInput:
        return InvalidInput(
            parameter, f"it is larger than {self.limit} bytes", "too_large", limit_bytes=self.limit
        )


def _each(wanted: Mapping[str, Sequence[Named]]) -> list[tuple[str, int, Named]]:
    return [(parameter, place, one) for parameter, several in wanted.items() for place, one in enumerate(several)]


async def _together(ways: Iterable[Any]) -> None:
    """All of them; the first refusal is raised as itself."""
    try:
        async with asyncio.TaskGroup() as group:
            for way in ways:
                group.create_task(way)
    except* Refusal as refusals:
        raise _first(refusals) from None


def _first(group: BaseExceptionGroup[Refusal]) -> Refusal:
    one = group.exceptions[0]
    return _first(one) if isinstance(one, BaseExceptionGroup) else one


def _check_type(parameter: str, content_type: str) -> None:
    """By what the bytes say. Raises InvalidInput."""
    if not content_type.startswith("image/") and content_type != UNKNOWN:
        raise InvalidInput(parameter, f"it is no picture but {content_type}", "not_an_image")


def _unrecorded(account_id: AccountId, came: Received) -> Asset:
    """Received bytes as an asset that nobody has a record of."""
    return Asset(AssetId(new_uuid()), account_id, came.blob, came.content_type, "", (), clock.utcnow(), None, None)


def _path(filename: str) -> str:
    """The name that its sender gave it where it can be one, and else none."""
    try:
        return rules.parse_file_path(filename.replace("\\", "/").rpartition("/")[2])
    except rules.InvalidAsset:
        return ""
