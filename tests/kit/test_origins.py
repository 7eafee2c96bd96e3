"""What browsers say about the page that asks, read as they mean it."""

import pytest

from atelier.kit.http.origins import differs_on_loopback, foreign, host_of, is_loopback, same_origin

PUBLIC = "https://atelier.example.com"


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "127.255.0.1", "::1", "[::1]", "localhost", "LOCALHOST", "localhost.", "a.localhost"]
)
def test_names_of_this_machine(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize(
    "host",
    [
        "",
        "0.0.0.0",  # noqa: S104 - it is read, not bound
        "::",
        "10.0.0.1",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "evil",
        "2130706433",
        "0x7f.1",
    ],
)
def test_names_of_others(host: str) -> None:
    assert not is_loopback(host)


@pytest.mark.parametrize(
    ("netloc", "found"),
    [
        ("a.example:80", ("a.example", 80)),
        ("A.example", ("a.example", None)),
        ("[::1]:8188", ("::1", 8188)),
        ("a:99999", ("", None)),
        ("[::1", ("", None)),
        ("", ("", None)),
    ],
)
def test_a_host_is_a_name_and_a_port(netloc: str, found: tuple[str, int | None]) -> None:
    assert host_of(netloc) == found


@pytest.mark.parametrize(
    "headers",
    [
        {"host": "a.example", "origin": "http://a.example"},
        {"host": "a.example", "origin": "https://a.example"},
        {"host": "a.example:443", "origin": "https://a.example"},
        {"host": "a.example:8189", "origin": "http://a.example:8189"},
        {"host": "inner:8189", "origin": PUBLIC},
        {"host": "inner:8189", "origin": "https://other.example", "sec-fetch-site": "same-origin"},
    ],
)
def test_a_page_of_ours(headers: dict[str, str]) -> None:
    assert same_origin(headers, PUBLIC)
    assert not foreign(headers, PUBLIC)


@pytest.mark.parametrize(
    "headers",
    [
        {"host": "a.example", "origin": "http://b.example"},
        {"host": "a.example", "origin": "null"},
        {"host": "a.example", "origin": "http://a.example:8188"},
        {"host": "a.example:8189", "origin": "http://a.example"},
        {"host": "a.example", "origin": "http://["},
        {"host": "a.example", "origin": "ftp://a.example"},
        {"host": "", "origin": "http://"},
        {"host": "inner:8189", "origin": "http://atelier.example.com"},
        {"host": "a.example", "sec-fetch-site": "cross-site"},
        {"host": "a.example", "origin": "http://a.example", "sec-fetch-site": "same-site"},
    ],
)
def test_a_page_of_others(headers: dict[str, str]) -> None:
    assert not same_origin(headers, PUBLIC)
    assert foreign(headers, PUBLIC)


def test_who_says_nothing_is_no_page() -> None:
    assert not same_origin({"host": "a.example"})
    assert not foreign({"host": "a.example"})
    assert not foreign({"host": "a.example", "sec-fetch-site": "none"})


def test_the_guard_of_comfyui_compares_ports_where_both_have_one() -> None:
    here = {"host": "127.0.0.1:8189"}

    assert differs_on_loopback({**here, "origin": "http://127.0.0.1:8188"})
    assert differs_on_loopback({**here, "origin": "http://localhost:8189"})
    assert differs_on_loopback({**here, "sec-fetch-site": "cross-site"})
    assert not differs_on_loopback({**here, "origin": "http://127.0.0.1"})
    assert not differs_on_loopback({"host": "127.0.0.1", "origin": "http://127.0.0.1:8188"})
    assert not differs_on_loopback({**here, "origin": "null"})
    assert not differs_on_loopback({"host": "atelier.example.com", "origin": "http://evil.example"})
    assert not differs_on_loopback({})
