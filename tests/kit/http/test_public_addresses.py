"""Nobody's address leads into our networks, however it is written."""

import ipaddress

import pytest

from atelier.kit.http.public_addresses import ForbiddenAddress, is_public, parse_networks, parse_target

SPECIAL = (
    "0.0.0.0",  # noqa: S104 - it is refused
    "0.1.2.3",
    "10.0.0.1",
    "100.64.0.1",
    "100.100.100.200",
    "127.0.0.1",
    "127.255.255.254",
    "168.63.129.16",
    "169.254.169.254",
    "172.16.0.1",
    "172.31.255.255",
    "192.0.0.192",
    "192.0.2.1",
    "192.88.99.1",
    "192.168.1.1",
    "198.18.0.1",
    "198.51.100.1",
    "203.0.113.1",
    "224.0.0.1",
    "239.255.255.255",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::127.0.0.1",
    "::ffff:127.0.0.1",
    "::ffff:8.8.8.8",
    "64:ff9b::7f00:1",
    "64:ff9b::808:808",
    "64:ff9b:1::1",
    "100::1",
    "2001::1",
    "2001:2::1",
    "2001:db8::1",
    "2002:7f00:1::",
    "2002:808:808::1",
    "2620:4f:8000::1",
    "3fff::1",
    "5f00::1",
    "fc00::1",
    "fd00:ec2::254",
    "fe80::1",
    "fec0::1",
    "ff02::1",
)

PUBLIC = ("1.1.1.1", "8.8.8.8", "100.63.255.255", "100.128.0.1", "172.15.0.1", "172.32.0.1", "2606:4700::1111")

ODD = (
    "http://127.1/",
    "http://2130706433/",
    "http://0x7f000001/",
    "http://0x7f.0.0.1/",
    "http://0177.0.0.1/",
    "http://127.0.0.1./",
    "http://010.0.0.1/",
    "http://1.2.3/",
    "http://127%2e0.0.1/",
    "http://%31%32%37.0.0.1/",
    "http://a b/",
    "http://-/",
    "http:///x",
    "http://example.com\\@127.0.0.1/",
    "http://exa mple.com/",
    "http://[::1/",
    "http://example.com:99999/",
    "//example.com/",
    "example.com",
    "",
)


@pytest.mark.parametrize("written", SPECIAL)
def test_a_special_address_is_not_public(written: str) -> None:
    assert not is_public(ipaddress.ip_address(written))


@pytest.mark.parametrize("written", PUBLIC)
def test_others_are(written: str) -> None:
    assert is_public(ipaddress.ip_address(written))


def test_an_operator_opens_exactly_what_was_named() -> None:
    allowed = parse_networks(("10.20.0.0/16", "127.0.0.1", "fd12::/64"))

    opened = [is_public(ipaddress.ip_address(each), allowed) for each in ("10.20.3.4", "127.0.0.1", "fd12::7")]
    closed = [
        is_public(ipaddress.ip_address(each), allowed)
        for each in ("10.21.0.1", "127.0.0.2", "fd13::7", "::ffff:127.0.0.1", "fe80::1%1")
    ]

    assert (set(opened), set(closed)) == ({True}, {False})


@pytest.mark.parametrize("written", ODD)
def test_an_address_has_one_spelling(written: str) -> None:
    with pytest.raises(ForbiddenAddress):
        parse_target(written)


@pytest.mark.parametrize(
    "written",
    ["ftp://example.com/a", "file:///etc/passwd", "gopher://example.com/", "javascript:alert(1)", "data:,x"],
)
def test_only_http_is_asked(written: str) -> None:
    with pytest.raises(ForbiddenAddress, match=r"Only http|names no host"):
        parse_target(written)


@pytest.mark.parametrize("written", ["http://me@example.com/", "http://me:secret@example.com/", "http://:x@a.de/"])
def test_an_address_bears_no_name_and_no_password(written: str) -> None:
    with pytest.raises(ForbiddenAddress, match="passwords"):
        parse_target(written)


@pytest.mark.parametrize("port", [22, 25, 110, 445, 587, 993, 6000, 6379, 6667, 11211])
def test_ports_of_other_protocols_are_not_asked(port: int) -> None:
    with pytest.raises(ForbiddenAddress, match=f"Port {port}"):
        parse_target(f"http://example.com:{port}/")


@pytest.mark.parametrize(
    ("written", "asked"),
    [
        ("HTTPS://Example.COM/a?b=c#d", "https://example.com/a?b=c"),
        (" http://example.com:8080 ", "http://example.com:8080"),
        ("http://b\N{LATIN SMALL LETTER U WITH DIAERESIS}cher.example/", "http://xn--bcher-kva.example/"),
        ("https://1.1.1.1/x", "https://1.1.1.1/x"),
        ("https://[2606:4700::1111]:8443/", "https://[2606:4700::1111]:8443/"),
        ("http://host_name.example.com./", "http://host_name.example.com./"),
    ],
)
def test_what_is_asked_is_what_was_checked(written: str, asked: str) -> None:
    assert str(parse_target(written)) == asked


def test_an_address_that_is_too_long_is_refused() -> None:
    for written in ("a" * 2048, "\u6d77" * 700):
        with pytest.raises(ForbiddenAddress, match="2048"):
            parse_target("http://example.com/" + written)
