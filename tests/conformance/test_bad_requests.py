"""What no SDK would send: each gets the contract's status and envelope, and leaves nothing behind."""

import json
import socket
import uuid
from collections.abc import Generator
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from conformance import graphs
from conformance.installation import Installation

UNKNOWN = "5e0f6a1c-2f0c-4a57-8d0e-6d5f3f1f7b11"
JSON = {"Content-Type": "application/json"}
GRAPH = graphs.quick().json


def code(answer: httpx.Response) -> tuple[int, str]:
    """Status and code, after the rest of the envelope was judged."""
    envelope = answer.json()
    assert answer.headers["content-type"] == "application/json"
    assert envelope.keys() == {"error"}
    assert envelope["error"].keys() == {"code", "message", "details"}
    assert isinstance(envelope["error"]["message"], str)
    assert envelope["error"]["message"]
    assert envelope["error"]["details"] is None or isinstance(envelope["error"]["details"], dict)
    assert answer.headers["x-comfy-request-id"]
    return answer.status_code, envelope["error"]["code"]


@pytest.fixture
def nothing_left(http: httpx.Client) -> Generator[None]:
    """Fails when a job came out of what was refused."""

    def newest() -> list[str]:
        return [job["id"] for job in http.get("/api/v2/jobs", params={"limit": 2}).json()["jobs"]]

    before = newest()
    yield
    assert newest() == before


MALFORMED: dict[str, Any] = {
    "nothing": b"",
    "no JSON": b"{",
    "a list": b"[]",
    "a string": b'"workflow"',
    "null": b"null",
    "two documents": b"{}{}",
    "no UTF-8": b'{"workflow": "\xff"}',
    "NaN": b'{"workflow": NaN}',
    "infinity": b'{"workflow": 1e999}',
    "half a surrogate": rb'{"workflow": {"1": {"class_type": "\ud800", "inputs": {}}}}',
    "U+0000": rb'{"workflow": {"1": {"class_type": "\u0000", "inputs": {}}}}',
    "a very deep list": b'{"workflow":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "an unknown field": json.dumps({"workflow": GRAPH, "surprise": 1}).encode(),
    "unknown extra data": json.dumps({"workflow": GRAPH, "extra_data": {"api_key": "x"}}).encode(),
    "extra data of a wrong type": json.dumps({"workflow": GRAPH, "extra_data": "x"}).encode(),
    "a secret of a wrong type": json.dumps({"workflow": GRAPH, "extra_data": {"api_key_comfy_org": 1}}).encode(),
}


@pytest.mark.usefixtures("nothing_left")
@pytest.mark.parametrize("case", MALFORMED)
def test_a_malformed_submission_is_400(http: httpx.Client, case: str) -> None:
    answer = http.post("/api/v2/jobs", content=MALFORMED[case], headers=JSON)

    assert code(answer) == (400, "invalid_request")


UNPROCESSABLE: dict[str, tuple[dict[str, Any], str]] = {
    "no workflow": ({}, "invalid_workflow"),
    "a workflow of text": ({"workflow": "x"}, "invalid_workflow"),
    "a workflow of numbers": ({"workflow": [1, 2]}, "invalid_workflow"),
    "a reserved webhook": ({"workflow": GRAPH, "webhook_url": "http://127.0.0.1"}, "invalid_request"),
    "reserved inputs": ({"workflow": GRAPH, "inputs": {}}, "invalid_request"),
    "labels that are no map": ({"workflow": GRAPH, "metadata": [1]}, "metadata_invalid"),
    "labels that are no text": ({"workflow": GRAPH, "metadata": {"k": 1}}, "metadata_invalid"),
    "a string of metadata over 1 KiB": ({"workflow": GRAPH, "metadata": "x" * 1025}, "metadata_invalid"),
    "a file out of its folder": (
        {"workflow": graphs.inverted("../../etc/passwd").json},
        "invalid_workflow",
    ),
}


@pytest.mark.usefixtures("nothing_left")
@pytest.mark.parametrize("case", UNPROCESSABLE)
def test_a_submission_that_cannot_be_done_is_422(http: httpx.Client, case: str) -> None:
    body, expected = UNPROCESSABLE[case]

    assert code(http.post("/api/v2/jobs", json=body)) == (422, expected)


@pytest.mark.usefixtures("nothing_left")
@pytest.mark.parametrize("key", [b"", b"k" * 256, b"k\xe9y", b"tab\there"])
def test_an_unusable_idempotency_key_is_400(http: httpx.Client, key: bytes) -> None:
    answer = http.post("/api/v2/jobs", json={"workflow": GRAPH}, headers={b"Idempotency-Key": key})

    assert code(answer) == (400, "invalid_request")


def test_a_key_is_free_again_when_its_submission_was_refused(http: httpx.Client) -> None:
    headers = {"Idempotency-Key": uuid.uuid4().hex}
    refused = http.post("/api/v2/jobs", json={"workflow": {}}, headers=headers)

    accepted = http.post("/api/v2/jobs", json={"workflow": graphs.quick().json}, headers=headers)
    again = http.post("/api/v2/jobs", json={"workflow": {}}, headers=headers)

    assert code(refused) == (422, "invalid_workflow")
    assert accepted.status_code == 201
    assert again.status_code == 422


def test_metadata_may_be_one_string_and_comes_back_as_one(http: httpx.Client) -> None:
    accepted = http.post("/api/v2/jobs", json={"workflow": graphs.quick().json, "metadata": "x" * 1024}).json()

    assert accepted["metadata"] == "x" * 1024
    assert http.get(f"/api/v2/jobs/{accepted['id']}").json()["metadata"] == "x" * 1024


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/api/v2/jobs"),
        ("POST", "/api/v2/jobs"),
        ("GET", f"/api/v2/jobs/{UNKNOWN}"),
        ("GET", f"/api/v2/jobs/{UNKNOWN}/events"),
        ("POST", f"/api/v2/jobs/{UNKNOWN}/cancel"),
        ("GET", f"/api/v2/jobs/{UNKNOWN}/workflow"),
        ("POST", "/api/v2/assets"),
        ("POST", "/api/v2/assets/from-hash"),
        ("GET", f"/api/v2/assets/{UNKNOWN}"),
        ("DELETE", f"/api/v2/assets/{UNKNOWN}"),
        ("GET", f"/api/v2/assets/{UNKNOWN}/content"),
        ("GET", "/health/detailed"),
    ],
)
@pytest.mark.parametrize("key", [None, b"Bearer atl_wrong", b"Basic YTpi", b"Bearer", b"Bearer \xff"])
def test_without_a_good_key_all_is_401_with_a_challenge(
    atelier: Installation, method: str, path: str, key: bytes | None
) -> None:
    headers = {} if key is None else {b"Authorization": key}

    answer = httpx.request(method, f"{atelier.url}{path}", headers=headers)

    assert code(answer) == (401, "unauthorized")
    assert answer.headers["www-authenticate"].startswith("Bearer")


def test_a_probe_without_a_good_key_is_401_without_a_body(atelier: Installation) -> None:
    answer = httpx.head(f"{atelier.url}/api/v2/assets/by-hash/blake3:{'0' * 64}")

    assert (answer.status_code, answer.content) == (401, b"")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", f"/api/v2/jobs/{UNKNOWN}"),
        ("GET", "/api/v2/jobs/x"),
        ("GET", "/api/v2/jobs/%00"),
        ("GET", f"/api/v2/jobs/{UNKNOWN.upper()}/events"),
        ("GET", f"/api/v2/jobs/{UNKNOWN}/workflow"),
        ("GET", f"/api/v2/jobs/{UNKNOWN}/logs"),
        ("POST", f"/api/v2/jobs/{UNKNOWN}/cancel"),
        ("GET", f"/api/v2/assets/{UNKNOWN}"),
        ("GET", f"/api/v2/assets/{UNKNOWN}/content"),
        ("DELETE", f"/api/v2/assets/{UNKNOWN}"),
        ("GET", "/api/v2"),
        ("GET", "/api/v2/"),
        ("GET", "/api/v2/jobs/"),
        ("GET", "/api/v2/nonsense"),
    ],
)
def test_what_is_not_there_is_404_in_the_envelope(http: httpx.Client, method: str, path: str) -> None:
    assert code(http.request(method, path)) == (404, "not_found")


def test_what_is_not_there_beside_the_contract_is_told_as_a_server_tells_it(http: httpx.Client) -> None:
    got = http.get("/api/v2/jobs/../../health/x")
    posted = http.post("/nonsense")

    assert (got.status_code, got.text) == (404, "404: Not Found")
    assert (posted.status_code, posted.text) == (405, "405: Method Not Allowed")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("PUT", "/api/v2/jobs"),
        ("DELETE", f"/api/v2/jobs/{UNKNOWN}"),
        ("GET", f"/api/v2/jobs/{UNKNOWN}/cancel"),
        ("POST", f"/api/v2/jobs/{UNKNOWN}/events"),
        ("PATCH", "/api/v2/assets"),
        ("POST", "/health"),
    ],
)
def test_a_wrong_method_is_405_and_says_the_right_ones(http: httpx.Client, method: str, path: str) -> None:
    answer = http.request(method, path)

    assert code(answer) == (405, "method_not_allowed")
    assert answer.headers["allow"]
    assert method not in answer.headers["allow"].split(", ")


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("limit=0", "invalid_request"),
        ("limit=101", "invalid_request"),
        ("limit=ten", "invalid_request"),
        ("status=nonsense", "invalid_request"),
        ("cursor=%00", "invalid_cursor"),
        ("cursor=-1", "invalid_cursor"),
        ("metadata=x", "invalid_metadata_filter"),
        ("metadata%5B%5D=x", "invalid_metadata_filter"),
        ("metadata%5Bk%5D=%00", "invalid_metadata_filter"),
    ],
)
def test_a_bad_question_for_the_list_is_400(http: httpx.Client, query: str, expected: str) -> None:
    assert code(http.get(f"/api/v2/jobs?{query}")) == (400, expected)


FILE = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\nx\r\n--b--\r\n'
FORMS: dict[str, tuple[str, bytes, int]] = {
    "no form": ("application/json", b"{}", 400),
    "no boundary": ("multipart/form-data", b"", 400),
    "no file": ("multipart/form-data; boundary=b", b"--b--\r\n", 422),
    "an end too early": (
        "multipart/form-data; boundary=b",
        b'--b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\nhalf',
        400,
    ),
    "a path out of the folder": (
        "multipart/form-data; boundary=b",
        b'--b\r\nContent-Disposition: form-data; name="file_path"\r\n\r\n../x\r\n' + FILE,
        422,
    ),
    "a hash that is none": (
        "multipart/form-data; boundary=b",
        b'--b\r\nContent-Disposition: form-data; name="expected_hash"\r\n\r\nblake3:xyz\r\n' + FILE,
        422,
    ),
}


@pytest.mark.parametrize("case", FORMS)
def test_what_is_no_upload_is_refused(http: httpx.Client, case: str) -> None:
    content_type, body, status = FORMS[case]

    answer = http.post("/api/v2/assets", content=body, headers={"Content-Type": content_type})

    assert code(answer)[0] == status


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"hash": 1},
        {"hash": "md5:0"},
        {"hash": "0" * 64, "tags": "x"},
        {"hash": "0" * 64, "expires_in": 0},
        {"hash": "0" * 64, "expires_in": True},
        {"hash": "0" * 64, "x": 1},
    ],
)
def test_a_bad_hash_request_is_refused(http: httpx.Client, body: dict[str, Any]) -> None:
    assert code(http.post("/api/v2/assets/from-hash", json=body))[0] in {400, 422}


def test_the_fleet_is_not_for_members(atelier: Installation, stranger_key: str) -> None:
    answer = httpx.get(f"{atelier.url}/api/v1/servers", headers={"Authorization": f"Bearer {stranger_key}"})

    assert code(answer) == (403, "forbidden")


def test_what_is_no_http_ends_its_connection_and_nothing_else(atelier: Installation, http: httpx.Client) -> None:
    parts = urlsplit(atelier.url)
    for noise in (
        b"\x16\x03\x01\x02\x00\x01\x00",
        b"GET / HTTP/9.9\r\n\r\n",
        b"POST /api/v2/jobs HTTP/1.1\r\n" * 50,
    ):
        with socket.create_connection((str(parts.hostname), int(parts.port or 0)), timeout=10) as raw:
            raw.sendall(noise + b"\r\n\r\n")
            raw.shutdown(socket.SHUT_WR)
            while raw.recv(65_536):
                pass

    assert http.get("/health").json() == {"status": "healthy"}
