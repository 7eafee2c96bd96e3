"""Files over HTTP: uploaded once, known by their hash to their account alone, read in parts."""

import datetime as dt
import resource
from dataclasses import replace
from typing import Any

import httpx
from blake3 import blake3
from comfy_low.models import Asset as SdkAsset

from atelier.dialects.app import create_app
from atelier.dialects.comfy_v2 import schemas
from atelier.dialects.services import Services
from atelier.kit.ids import AssetId, JobId, new_uuid, parse_uuid
from atelier.storage.object_store import Credentials
from atelier.storage.opening import open_storage
from support.graphs import with_asset
from support.serving import Tenant, served
from support.stage import Stage

BODY = bytes(range(256)) * 40


def hash_of(body: bytes) -> str:
    return f"blake3:{blake3(body).hexdigest()}"


async def upload(client: httpx.AsyncClient, body: bytes = BODY, **fields: str) -> httpx.Response:
    data = {"content_type": "image/png", "file_path": "photo.png", **fields}
    return await client.post("/api/v2/assets", data=data, files={"file": ("photo.png", body, "image/png")})


async def uploaded(client: httpx.AsyncClient, body: bytes = BODY, **fields: str) -> dict[str, Any]:
    answer = await upload(client, body, **fields)
    assert answer.status_code in {200, 201}, answer.text
    asset: dict[str, Any] = answer.json()
    return asset


def peak_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def code_of(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]["code"]


async def test_a_new_file_is_201_and_the_same_again_200(client: httpx.AsyncClient) -> None:
    first = await upload(client, expected_hash=hash_of(BODY).upper().replace("BLAKE3", "blake3"), tags="holiday")
    second = await upload(client, tags="holiday")

    asset = first.json()
    assert (first.status_code, second.status_code) == (201, 200)
    assert asset["hash"] == hash_of(BODY)
    assert asset["size_bytes"] == len(BODY)
    assert asset["file_path"] == "photo.png"
    assert asset["created_at"].endswith("Z")
    assert (asset["created_new"], second.json()["created_new"]) == (True, False)
    SdkAsset.model_validate(asset)
    schemas.Asset.model_validate(asset)


async def test_a_large_file_is_streamed_through(client: httpx.AsyncClient) -> None:
    body = bytes(2_900_000)

    asset = await uploaded(client, body)
    back = await client.get(f"/api/v2/assets/{asset['id']}/content")

    assert back.content == body


async def test_the_declared_hash_must_be_the_real_one(client: httpx.AsyncClient) -> None:
    assert code_of(await upload(client, expected_hash=hash_of(b"other"))) == (409, "hash_mismatch")
    assert code_of(await upload(client, expected_hash="blake3:xyz")) == (422, "invalid_request")


async def test_a_file_over_the_limit_is_413_with_flat_memory(
    client: httpx.AsyncClient, services: Services
) -> None:
    async def huge() -> Any:
        yield b'--b\r\nContent-Disposition: form-data; name="file"; filename="x"\r\n\r\n'
        for _ in range(100):
            yield bytes(1_000_000)

    before = peak_bytes()
    answer = await client.post(
        "/api/v2/assets", content=huge(), headers={"Content-Type": "multipart/form-data; boundary=b"}
    )
    grown = peak_bytes() - before

    assert code_of(answer) == (413, "payload_too_large")
    assert code_of(await upload(client, bytes(3_000_001))) == (413, "payload_too_large")
    assert grown < 40_000_000
    assert list(services.storage.spool.iterdir()) == []


NO_UPLOADS = (
    ("application/json", b"{}", 400),
    ("multipart/form-data", b"", 400),
    ("multipart/form-data; boundary=b", b"", 400),
    ("multipart/form-data; boundary=b", b"--b\r\nbroken", 400),
    ("multipart/form-data; boundary=b", b"--b--\r\n", 422),
)


async def test_what_is_no_upload_is_refused(client: httpx.AsyncClient) -> None:
    for content_type, body, status in NO_UPLOADS:
        answer = await client.post("/api/v2/assets", content=body, headers={"Content-Type": content_type})

        assert code_of(answer) == (status, "invalid_request"), body


async def test_paths_out_of_the_folder_are_refused(client: httpx.AsyncClient) -> None:
    for path in ("../x.png", "/x.png", "models/x.safetensors", "a/../b"):
        assert code_of(await upload(client, file_path=path)) == (422, "invalid_request"), path


async def test_a_known_hash_is_200_and_from_hash_follows(client: httpx.AsyncClient) -> None:
    await uploaded(client)
    digest = blake3(BODY).hexdigest()

    for spelled in (digest, f"blake3:{digest}", f"blake3%3A{digest}"):
        known = await client.head(f"/api/v2/assets/by-hash/{spelled}")

        assert (known.status_code, known.content) == (200, b"")
    made = await client.post("/api/v2/assets/from-hash", json={"hash": hash_of(BODY), "file_path": "again.png"})
    assert made.status_code == 201
    assert made.json()["hash"] == hash_of(BODY)


async def test_a_hash_is_not_a_permission(client: httpx.AsyncClient, other: httpx.AsyncClient) -> None:
    await uploaded(client)

    known = await other.head(f"/api/v2/assets/by-hash/{hash_of(BODY)}")
    made = await other.post("/api/v2/assets/from-hash", json={"hash": hash_of(BODY)})

    assert known.status_code == 404
    assert code_of(made) == (404, "blob_not_found")


async def test_an_unknown_hash_is_404_without_a_body(client: httpx.AsyncClient) -> None:
    for digest in ("0" * 64, "nonsense"):
        answer = await client.head(f"/api/v2/assets/by-hash/{digest}")

        assert answer.status_code == 404
        assert answer.content == b""


NO_HASHES: tuple[tuple[dict[str, Any], tuple[int, str]], ...] = (
    ({}, (422, "invalid_request")),
    ({"hash": 1}, (400, "invalid_request")),
    ({"hash": "xyz"}, (422, "invalid_request")),
    ({"hash": "0" * 64, "unknown": 1}, (400, "invalid_request")),
    ({"hash": "0" * 64, "file_path": "../x"}, (422, "invalid_request")),
    ({"hash": "0" * 64, "tags": "x"}, (400, "invalid_request")),
    ({"hash": "0" * 64, "tags": [1]}, (400, "invalid_request")),
    ({"hash": "0" * 64, "expires_in": 0}, (400, "invalid_request")),
    ({"hash": "0" * 64, "expires_in": True}, (400, "invalid_request")),
    ({"hash": "0" * 64, "expires_in": 10**40}, (400, "invalid_request")),
    ({"hash": "0" * 64}, (404, "blob_not_found")),
)


async def test_from_hash_refuses_what_it_cannot_do(client: httpx.AsyncClient) -> None:
    for body, expected in NO_HASHES:
        assert code_of(await client.post("/api/v2/assets/from-hash", json=body)) == expected, body


async def test_an_asset_may_expire(client: httpx.AsyncClient) -> None:
    await uploaded(client)

    made = (await client.post("/api/v2/assets/from-hash", json={"hash": hash_of(BODY), "expires_in": 60})).json()

    left = dt.datetime.fromisoformat(made["expires_at"]) - dt.datetime.fromisoformat(made["created_at"])
    assert dt.timedelta(seconds=50) < left < dt.timedelta(seconds=70)


PARTS = (
    ("bytes=0-9", 206, slice(0, 10)),
    ("bytes=10-", 206, slice(10, None)),
    ("bytes=-5", 206, slice(-5, None)),
    ("bytes=0-999999", 206, slice(0, None)),
    ("bytes=9-5", 200, slice(0, None)),
    ("bytes=0-1,3-4", 200, slice(0, None)),
    ("lines=0-1", 200, slice(0, None)),
    ("bytes=-", 200, slice(0, None)),
)


async def test_content_comes_whole_or_in_part(client: httpx.AsyncClient) -> None:
    asset = await uploaded(client)

    for asked, status, part in PARTS:
        answer = await client.get(f"/api/v2/assets/{asset['id']}/content", headers={"Range": asked})

        assert answer.status_code == status, asked
        assert answer.content == BODY[part]
        assert answer.headers["accept-ranges"] == "bytes"
        assert answer.headers["content-type"] == "image/png"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert ("content-range" in answer.headers) == (status == 206)


async def test_a_range_behind_the_end_is_416(client: httpx.AsyncClient) -> None:
    asset = await uploaded(client)

    for asked in ("bytes=10240-", "bytes=99999-100000", "bytes=-0"):
        answer = await client.get(f"/api/v2/assets/{asset['id']}/content", headers={"Range": asked})

        assert code_of(answer) == (416, "range_not_satisfiable")
        assert answer.headers["content-range"] == f"bytes */{len(BODY)}"


async def test_what_a_client_has_is_not_sent_again(client: httpx.AsyncClient) -> None:
    asset = await uploaded(client)
    url = f"/api/v2/assets/{asset['id']}/content"
    etag = (await client.get(url)).headers["etag"]

    same = await client.get(url, headers={"If-None-Match": etag})
    several = await client.get(url, headers={"If-None-Match": f'"other", W/{etag}'})
    any_at_all = await client.get(url, headers={"If-None-Match": "*"})
    another = await client.get(url, headers={"If-None-Match": '"other"'})
    part = await client.get(url, headers={"If-Range": etag, "Range": "bytes=0-0"})
    other = await client.get(url, headers={"If-Range": '"other"', "Range": "bytes=0-0"})

    assert [same.status_code, several.status_code, any_at_all.status_code, another.status_code] == [304] * 3 + [
        200
    ]
    assert [part.status_code, other.status_code] == [206, 200]


async def test_a_signed_link_needs_no_key(client: httpx.AsyncClient, nobody: httpx.AsyncClient) -> None:
    asset = await uploaded(client)

    whole = await nobody.get(asset["url"])
    part = await nobody.get(asset["url"], headers={"Range": "bytes=1-2"})

    assert whole.content == BODY
    assert part.content == BODY[1:3]


async def test_a_forged_or_expired_link_opens_nothing(
    client: httpx.AsyncClient, nobody: httpx.AsyncClient
) -> None:
    url = httpx.URL((await uploaded(client))["url"])
    forged = [
        url.copy_set_param("signature", "0" * 64),
        url.copy_set_param("signature", "ä"),
        url.copy_set_param("expires", "9999999999"),
        url.copy_set_param("expires", "1"),
        url.copy_set_param("expires", "x" * 5000),
        url.copy_remove_param("signature"),
        url.copy_remove_param("expires"),
        url.copy_with(path=f"/files/{new_uuid()}"),
        url.copy_with(path="/files/nonsense"),
    ]

    for link in forged:
        assert code_of(await nobody.get(link)) == (403, "forbidden"), link


async def test_a_link_to_a_deleted_asset_is_404(client: httpx.AsyncClient, nobody: httpx.AsyncClient) -> None:
    asset = await uploaded(client)
    await client.delete(f"/api/v2/assets/{asset['id']}")

    assert code_of(await nobody.get(asset["url"])) == (404, "not_found")


async def test_deleting_is_204_once(client: httpx.AsyncClient) -> None:
    asset = await uploaded(client)

    first = await client.delete(f"/api/v2/assets/{asset['id']}")
    second = await client.delete(f"/api/v2/assets/{asset['id']}")

    assert (first.status_code, first.content) == (204, b"")
    assert code_of(second) == (404, "not_found")


async def test_an_asset_in_use_stays_until_its_job_ended(client: httpx.AsyncClient) -> None:
    asset = await uploaded(client)
    job = (await client.post("/api/v2/jobs", json={"workflow": with_asset(asset["id"])})).json()

    held = await client.delete(f"/api/v2/assets/{asset['id']}")
    await client.post(job["urls"]["cancel"])
    free = await client.delete(f"/api/v2/assets/{asset['id']}")

    assert code_of(held) == (409, "asset_in_use")
    assert free.status_code == 204


async def test_an_output_is_an_asset_and_an_input(client: httpx.AsyncClient, stage: Stage) -> None:
    asset = await uploaded(client)
    job = (await client.post("/api/v2/jobs", json={"workflow": with_asset(asset["id"])})).json()
    job_id = parse_uuid(job["id"])
    assert job_id is not None
    [output_id] = await stage.succeed(await stage.start(JobId(job_id)))

    read = await client.get(f"/api/v2/assets/{output_id}")
    used = await client.post("/api/v2/jobs", json={"workflow": with_asset(str(output_id))})

    assert read.status_code == 200
    assert used.status_code == 201


async def test_an_asset_of_somebody_else_is_not_there(client: httpx.AsyncClient, other: httpx.AsyncClient) -> None:
    asset = await uploaded(client)

    for asset_id in (asset["id"], AssetId(new_uuid()), "nonsense", "blake3:00"):
        for what in ("", "/content"):
            assert code_of(await other.get(f"/api/v2/assets/{asset_id}{what}")) == (404, "not_found")
    assert code_of(await other.delete(f"/api/v2/assets/{asset['id']}")) == (404, "not_found")
    missing = await other.post("/api/v2/jobs", json={"workflow": with_asset(asset["id"])})
    assert code_of(missing) == (422, "missing_asset")
    assert missing.json()["error"]["details"]["missing_ids"] == [asset["id"]]


async def test_what_a_bucket_can_serve_is_fetched_from_the_bucket(
    client: httpx.AsyncClient, services: Services, tenant: Tenant
) -> None:
    asset = await uploaded(client, b"\x89PNG\r\n\x1a\n" + BODY)
    bucket = open_storage(
        "s3://bucket/prefix",
        Credentials(access_key="id", secret_key="secret", region="eu-central-1"),
        spool=services.storage.spool,
    )

    async with served(create_app(replace(services, storage=bucket))) as base, httpx.AsyncClient() as asker:
        content = await asker.get(f"{base}/api/v2/assets/{asset['id']}/content", headers=tenant.headers)
        signed = await asker.get(httpx.URL(asset["url"]).copy_with(port=httpx.URL(base).port))

    for answer in (content, signed):
        location = httpx.URL(answer.headers["location"])
        assert answer.status_code == 302
        assert location.is_absolute_url
        assert "X-Amz-Signature" in location.params
