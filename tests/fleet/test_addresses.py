import pytest

from atelier.fleet import service as fleet
from atelier.fleet.service import InvalidServer, normal_url
from atelier.kit.database import Database


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("127.0.0.1:8188", "http://127.0.0.1:8188"),
        (" https://gpu.example.com/prefix/ ", "https://gpu.example.com/prefix"),
        ("http://[::1]:8188", "http://[::1]:8188"),
    ],
)
def test_an_address_is_kept_in_one_spelling(given: str, kept: str) -> None:
    assert normal_url(given) == kept


@pytest.mark.parametrize(
    "given",
    [
        "",
        "http://",
        "ftp://a",
        "http://a:99999",
        "http://[::1",
        "http://a b",
        "http://a\nb",
        "http://a?b",
        "\x8dþ\x9a",
    ],
)
def test_an_address_that_no_client_could_ask_is_refused(given: str) -> None:
    with pytest.raises(InvalidServer):
        normal_url(given)


@pytest.mark.parametrize("headers", [{"H\u0005": "v"}, {"": "v"}, {"X-Key": "a\r\nb"}])
async def test_headers_that_no_request_can_carry_are_refused(database: Database, headers: dict[str, str]) -> None:
    with pytest.raises(InvalidServer):
        async with database.transaction() as tx:
            await fleet.add(tx, "http://127.0.0.1:8188", headers=headers)
