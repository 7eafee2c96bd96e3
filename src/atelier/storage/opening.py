"""A storage is named by one URL: a folder, or a bucket with its credentials beside it."""

import urllib.parse
from pathlib import Path

from atelier.kit.errors import SetupFailed
from atelier.storage.local_folder import LocalFolder
from atelier.storage.model import Storage
from atelier.storage.object_store import Credentials, ObjectStore


def open_storage(
    url: str, credentials: Credentials | None = None, *, spool: Path | None = None, sync: bool = False
) -> Storage:
    """The storage that `url` names: a path or `file:///path`, `s3://bucket/prefix`, `gs://bucket/prefix`.

    Credentials concern buckets only, `spool` is the local folder where their uploads wait; `sync` makes a folder
    wait for the disk at each put. Nothing is asked over the network yet. Raises SetupFailed.
    """
    match urllib.parse.urlsplit(url):
        case urllib.parse.SplitResult(scheme="s3" | "gs", netloc=bucket) if bucket:
            return ObjectStore(url, credentials, spool=spool)
        case urllib.parse.SplitResult(scheme="file", netloc="" | "localhost", path=path) if path:
            return LocalFolder(Path(urllib.parse.unquote(path)), sync=sync)
        case urllib.parse.SplitResult(scheme="", path=path) if path:
            return LocalFolder(Path(url), sync=sync)
        case _:
            raise SetupFailed(
                f"{url!r} names no storage; use a folder, file:///folder, s3://bucket/prefix or gs://bucket/prefix."
            )
