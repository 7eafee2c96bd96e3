"""The served document is true: valid, complete in its refusals, and honest about keys."""

from typing import Any

import httpx
import pytest
from openapi_spec_validator import validate

from atelier.dialects.public import PUBLIC_ROUTES

METHODS = {"get", "post", "put", "patch", "delete", "head", "options"}


@pytest.fixture
async def document(nobody: httpx.AsyncClient) -> dict[str, Any]:
    answer = await nobody.get("/openapi.json")
    found: dict[str, Any] = answer.json()
    return found


def operations(document: dict[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
    return [
        (path, method, operation)
        for path, item in document["paths"].items()
        for method, operation in item.items()
        if method in METHODS
    ]


async def test_the_document_is_valid(document: dict[str, Any]) -> None:
    validate(document)

    assert document["openapi"].startswith("3.")


async def test_all_operations_of_the_contract_are_there(document: dict[str, Any]) -> None:
    found = {(method, path) for path, method, _ in operations(document)}

    assert found >= {
        ("post", "/api/v2/assets"),
        ("post", "/api/v2/assets/from-hash"),
        ("head", "/api/v2/assets/by-hash/{digest}"),
        ("get", "/api/v2/assets/{asset_id}"),
        ("delete", "/api/v2/assets/{asset_id}"),
        ("get", "/api/v2/assets/{asset_id}/content"),
        ("post", "/api/v2/jobs"),
        ("get", "/api/v2/jobs"),
        ("get", "/api/v2/jobs/{job_id}"),
        ("get", "/api/v2/jobs/{job_id}/workflow"),
        ("get", "/api/v2/jobs/{job_id}/events"),
        ("get", "/api/v2/jobs/{job_id}/logs"),
        ("post", "/api/v2/jobs/{job_id}/cancel"),
        ("get", "/health"),
        ("get", "/health/detailed"),
    }


async def test_what_needs_a_key_says_so_and_lists_401(document: dict[str, Any]) -> None:
    for path, _, operation in operations(document):
        if path in PUBLIC_ROUTES:
            assert operation["security"] == []
        else:
            assert operation["security"] == [{"bearer": []}]
            assert "401" in operation["responses"]


async def test_every_refusal_has_the_one_envelope(document: dict[str, Any]) -> None:
    for path, method, operation in operations(document):
        for status, answer in operation["responses"].items():
            if int(status) >= 400 and method != "head":
                schema = answer["content"]["application/json"]["schema"]
                assert schema == {"$ref": "#/components/schemas/ErrorEnvelope"}, (path, status)


async def test_every_operation_with_a_body_lists_malformed_and_too_large(document: dict[str, Any]) -> None:
    bodies = [operation for _, _, operation in operations(document) if "requestBody" in operation]

    assert len(bodies) > 4
    assert all({"400", "413", "422"} <= operation["responses"].keys() for operation in bodies)


async def test_the_frameworks_own_shapes_are_not_in_it(document: dict[str, Any]) -> None:
    assert "HTTPValidationError" not in str(document)
