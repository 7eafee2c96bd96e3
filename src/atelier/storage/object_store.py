"""A bucket as storage (S3 and what speaks its protocol, GCS): uploads end whole or are given up."""

import contextlib
import datetime as dt
import tempfile
import urllib.parse
from collections.abc import AsyncIterator, Generator
from dataclasses import dataclass, field
from pathlib import Path

import obstore
import structlog
from obstore.exceptions import BaseError
from obstore.store import GCSStore, S3Store

from atelier.kit.errors import SetupFailed
from atelier.kit.http.ranges import Slice
from atelier.storage.model import CHUNK_BYTES, Body, Content, ContentMissing, StorageUnavailable
from atelier.storage.threads import in_thread

PART_BYTES = 5 * 1024 * 1024
"""The smallest part that S3 takes; with PARTS_AT_ONCE it bounds the memory of an upload (20 MiB)."""
PARTS_AT_ONCE = 4

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Credentials:
    """How to reach a bucket. What is empty is taken from the environment as obstore documents it.

    `region` is "auto" for R2. `path_style` addresses `endpoint/bucket/key`, right for R2, Supabase and MinIO.
    """

    endpoint: str = ""
    region: str = ""
    access_key: str = ""
    secret_key: str = field(default="", repr=False)
    session_token: str = field(default="", repr=False)
    path_style: bool = True


class ObjectStore:
    """Keys are objects below the prefix that the URL names (`s3://bucket/prefix`, `gs://bucket/prefix`).

    An upload that is killed leaves no object; its unfinished parts stay hidden in the bucket until the bucket's
    lifecycle rule for incomplete multipart uploads removes them.
    """

    def __init__(self, url: str, credentials: Credentials | None = None, *, spool: Path | None = None) -> None:
        self._store = _connect(url, credentials or Credentials())
        self._spool = (spool or Path(tempfile.gettempdir()) / "atelier-spool").absolute()
        try:
            self._spool.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise SetupFailed(f"The spool folder {self._spool} cannot be made ({error.strerror}).") from error

    @property
    def spool(self) -> Path:
        return self._spool

    async def put(self, key: str, content: Content, *, content_type: str, filename: str | None = None) -> None:
        with _sorted_errors(key):
            await obstore.put_async(
                self._store,
                key,
                content,
                attributes=_attributes(content_type, filename),
                chunk_size=PART_BYTES,
                max_concurrency=PARTS_AT_ONCE,
            )

    async def adopt(self, key: str, file: Path, *, content_type: str, filename: str | None = None) -> None:
        with _sorted_errors(key):
            await obstore.put_async(
                self._store,
                key,
                file,
                attributes=_attributes(content_type, filename),
                chunk_size=PART_BYTES,
                max_concurrency=PARTS_AT_ONCE,
            )
        await in_thread(file.unlink)

    async def get(self, key: str, part: Slice | None = None) -> Body:
        if part is not None and part.start >= part.stop:
            return Body(0, await self._size(key), _chunks(key, None))
        with _sorted_errors(key):
            options: obstore.GetOptions = {"range": (part.start, part.stop)} if part else {}
            answer = await obstore.get_async(self._store, key, options=options)
        start, stop = answer.range
        return Body(stop - start, answer.meta["size"], _chunks(key, answer))

    async def head(self, key: str) -> int | None:
        try:
            return await self._size(key)
        except ContentMissing:
            return None

    async def exists(self, key: str) -> bool:
        return await self.head(key) is not None

    async def delete(self, key: str) -> None:
        with contextlib.suppress(ContentMissing), _sorted_errors(key):
            await obstore.delete_async(self._store, key)

    async def public_url(self, key: str, *, ttl: dt.timedelta) -> str | None:
        """Signed by the bucket's own scheme: type and name are those that the key was put with."""
        with _sorted_errors(key):
            return await obstore.sign_async(self._store, "GET", key, ttl)

    async def _size(self, key: str) -> int:
        with _sorted_errors(key):
            return (await obstore.head_async(self._store, key))["size"]


def _connect(url: str, credentials: Credentials) -> S3Store | GCSStore:
    try:
        if url.startswith("gs://"):
            return GCSStore.from_url(url, client_options=_client(url), retry_config=_retries())
        return S3Store.from_url(
            url,
            config=_s3_config(credentials),
            client_options=_client(credentials.endpoint),
            retry_config=_retries(),
        )
    except (BaseError, ValueError) as error:
        reason = str(error).partition("\n")[0]
        raise SetupFailed(f"The storage URL {url} cannot be used: {reason}") from error


def _s3_config(credentials: Credentials) -> "obstore.store.S3Config":
    config: obstore.store.S3Config = {"virtual_hosted_style_request": not credentials.path_style}
    if credentials.endpoint:
        config["endpoint"] = credentials.endpoint
    if credentials.region:
        config["region"] = credentials.region
    if credentials.access_key:
        config["access_key_id"] = credentials.access_key
        config["secret_access_key"] = credentials.secret_key
    if credentials.session_token:
        config["session_token"] = credentials.session_token
    return config


def _client(endpoint: str) -> "obstore.store.ClientConfig":
    """A long body may take an hour; a connection that gives nothing for a minute is dropped."""
    return {
        "allow_http": endpoint.startswith("http://"),
        "connect_timeout": dt.timedelta(seconds=10),
        "read_timeout": dt.timedelta(seconds=60),
        "timeout": dt.timedelta(hours=1),
    }


def _retries() -> "obstore.store.RetryConfig":
    """Left alone, obstore's 10 tries in 180 s would hold a request long after its client has gone."""
    return {"max_retries": 3, "retry_timeout": dt.timedelta(seconds=20)}


def _attributes(content_type: str, filename: str | None) -> dict[str, str]:
    attributes = {"Content-Type": content_type}
    if filename:
        attributes["Content-Disposition"] = f"inline; filename*=UTF-8''{urllib.parse.quote(filename, safe='')}"
    return attributes


async def _chunks(key: str, answer: "obstore.GetResult | None") -> AsyncIterator[bytes]:
    if answer is None:
        return
    with _sorted_errors(key):
        async for chunk in answer.stream(CHUNK_BYTES):
            yield bytes(chunk)


@contextlib.contextmanager
def _sorted_errors(key: str) -> Generator[None]:
    """Sort what went wrong by what to do next: gone for good, or try again later."""
    try:
        yield
    except FileNotFoundError as error:
        raise ContentMissing(f"The bytes of {key} are not in the storage any more.") from error
    except (BaseError, PermissionError) as error:
        _log.warning("storage.failed", object=key, reason=str(error).partition("\n")[0])
        raise StorageUnavailable("The file storage does not answer as it should.", retry_after=30) from error
