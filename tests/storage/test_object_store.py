import asyncio
import datetime as dt
import hashlib
import hmac
import json
import urllib.parse
import urllib.request
import uuid
from collections.abc import Generator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from atelier.storage import Storage, StorageUnavailable, open_storage

HOUR = dt.timedelta(hours=1)


@pytest.fixture
def storage(bucket: Any, tmp_path: Path) -> Storage:
    return open_storage(bucket.url, bucket.credentials, spool=tmp_path)


async def test_type_and_name_are_kept_by_the_bucket(storage: Storage, bucket: Any) -> None:
    await storage.put("blobs/named", b"x", content_type="image/webp", filename="Über the \r\n moon.webp")

    kept = bucket.client.head_object(Bucket="pictures", Key="some/prefix/blobs/named")
    assert kept["ContentType"] == "image/webp"
    assert kept["ContentDisposition"] == "inline; filename*=UTF-8''%C3%9Cber%20the%20%0D%0A%20moon.webp"


async def test_a_signed_address_serves_without_credentials(storage: Storage) -> None:
    await storage.put("blobs/public", b"for everyone", content_type="text/plain")

    url = await storage.public_url("blobs/public", ttl=HOUR)

    assert url is not None
    assert await asyncio.to_thread(fetch, url) == (b"for everyone", "text/plain")


async def test_a_signed_address_has_the_signature_that_s3_would_compute(storage: Storage, bucket: Any) -> None:
    url = await storage.public_url("blobs/signed", ttl=HOUR)

    assert url is not None
    parts = urllib.parse.urlsplit(url)
    query = dict(urllib.parse.parse_qsl(parts.query))
    assert query["X-Amz-Expires"] == "3600"
    assert query.pop("X-Amz-Signature") == signature(parts, query, bucket.credentials.secret_key)


@pytest.fixture
def checked_key(bucket: Any) -> Generator[dict[str, str]]:
    """A key that the server checks signatures against while the test runs."""
    iam = bucket.service("iam")
    name = uuid.uuid4().hex
    iam.create_user(UserName=name)
    everything = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}]}
    iam.put_user_policy(UserName=name, PolicyName="all", PolicyDocument=json.dumps(everything))
    key = iam.create_access_key(UserName=name)["AccessKey"]
    iam.close()
    check_signatures(bucket, after="0")
    yield {"access_key": key["AccessKeyId"], "secret_key": key["SecretAccessKey"]}
    check_signatures(bucket, after="inf")


async def test_the_right_secret_is_let_in(bucket: Any, checked_key: dict[str, str], tmp_path: Path) -> None:
    storage = open_storage(bucket.url, replace(bucket.credentials, **checked_key), spool=tmp_path)

    await storage.put("blobs/checked", b"x" * 6_000_000, content_type="image/png")

    assert await storage.head("blobs/checked") == 6_000_000


async def test_a_wrong_secret_is_unavailable_and_named_nowhere(
    bucket: Any, checked_key: dict[str, str], tmp_path: Path
) -> None:
    wrong = replace(bucket.credentials, access_key=checked_key["access_key"], secret_key="wrong-secret")
    storage = open_storage(bucket.url, wrong, spool=tmp_path)

    with pytest.raises(StorageUnavailable) as refused:
        await storage.put("blobs/checked", b"x", content_type="image/png")

    assert "wrong-secret" not in f"{refused.value} {refused.value.__cause__} {wrong}"


def fetch(url: str) -> tuple[bytes, str | None]:
    with urllib.request.urlopen(url, timeout=10) as answer:  # noqa: S310 - our own server
        return answer.read(), answer.headers["Content-Type"]


def check_signatures(bucket: Any, *, after: str) -> None:
    plain = {"Content-Type": "text/plain"}
    request = urllib.request.Request(f"{bucket.endpoint}/moto-api/reset-auth", after.encode(), plain)  # noqa: S310 - our own server
    urllib.request.urlopen(request, timeout=10).close()  # noqa: S310 - our own server


def signature(parts: urllib.parse.SplitResult, query: dict[str, str], secret: str) -> str:
    """AWS Signature Version 4 for a query, as the S3 reference describes it."""
    _, day, region, service, end = query["X-Amz-Credential"].split("/")
    canonical = "\n".join(
        [
            "GET",
            parts.path,
            urllib.parse.urlencode(sorted(query.items()), quote_via=urllib.parse.quote),
            f"host:{parts.netloc}\n",
            "host",
            "UNSIGNED-PAYLOAD",
        ]
    )
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    scope = f"{day}/{region}/{service}/{end}"
    to_sign = "\n".join([query["X-Amz-Algorithm"], query["X-Amz-Date"], scope, digest])
    key = f"AWS4{secret}".encode()
    for step in (day, region, service, end):
        key = hmac.digest(key, step.encode(), "sha256")
    return hmac.new(key, to_sign.encode(), "sha256").hexdigest()
