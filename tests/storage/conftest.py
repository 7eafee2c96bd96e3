"""A storage of each kind: a folder, and a bucket on an S3 server on a free loopback port."""

import contextlib
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3  # type: ignore[import-untyped]  # ships no types
import pytest
from botocore.config import Config  # type: ignore[import-untyped]  # ships no types
from moto.server import ThreadedMotoServer

from atelier.storage import Credentials, Storage, open_storage

BUCKET = "pictures"


@dataclass(frozen=True)
class Bucket:
    endpoint: str
    url: str
    client: Any
    credentials: Credentials

    def service(self, name: str) -> Any:
        return _client(self.endpoint, name)


@pytest.fixture(scope="session")
def bucket() -> Generator[Bucket]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        endpoint = f"http://{host}:{port}"
        credentials = Credentials(endpoint, "us-east-1", "AKIDTEST", "a made-up secret")
        with contextlib.closing(_client(endpoint, "s3")) as s3:
            s3.create_bucket(Bucket=BUCKET)
            yield Bucket(endpoint, f"s3://{BUCKET}/some/prefix", s3, credentials)
    finally:
        server.stop()


@pytest.fixture(params=["folder", "bucket"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Storage:
    if request.param == "folder":
        return open_storage(str(tmp_path / "files"))
    bucket: Bucket = request.getfixturevalue("bucket")
    return open_storage(bucket.url, bucket.credentials, spool=tmp_path / "spool")


def _client(endpoint: str, service: str) -> Any:
    return boto3.client(
        service,
        endpoint_url=endpoint,
        region_name="us-east-1",
        aws_access_key_id="AKIDTEST",
        aws_secret_access_key="a made-up secret",
        config=Config(s3={"addressing_style": "path"}),
    )
