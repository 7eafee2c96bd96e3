"""What clients name is asked only where it may be asked, only as much of it as is wanted, and only for so long."""

import asyncio
import socket
import threading
from collections.abc import Sequence
from ipaddress import IPv4Address

import pytest

from atelier.kit.http.outbound import (
    FetchFailed,
    ForbiddenAddress,
    Outbound,
    Patience,
    SystemLookUp,
    TooLarge,
    WrongContent,
)
from atelier.kit.http.public_addresses import Address
from support.strangers import LOOPBACK, PICTURE, Names, Site, body_of


async def test_a_file_comes_whole(outbound: Outbound, site: Site) -> None:
    fetched, body = await body_of(outbound, site.url("/picture"), accept=("image/*",))

    assert (fetched.status, fetched.content_type, fetched.size) == (200, "image/png", len(PICTURE))
    assert (body, fetched.url) == (PICTURE, site.url("/picture"))


async def test_a_request_bears_the_hosts_name_and_nothing_of_ours(outbound: Outbound, site: Site) -> None:
    for _ in range(2):
        await body_of(outbound, site.url("/picture"))

    said = site.seen[-1].headers
    assert said["Host"] == f"site.example:{site.port}"
    assert (said["User-Agent"], said["Accept-Encoding"]) == ("Test/1", "identity")
    assert not {"Cookie", "Authorization", "Referer"} & set(said)


async def test_without_the_setting_nothing_private_is_asked(names: Names, site: Site) -> None:
    closed = Outbound(user_agent="Test/1", look_up=names)

    for host in ("127.0.0.1", "site.example", "[::1]", "[::ffff:127.0.0.1]"):
        with pytest.raises(ForbiddenAddress):
            await body_of(closed, site.url("/picture", host))

    assert site.seen == []


async def test_a_refusal_does_not_say_what_a_name_means(names: Names, site: Site) -> None:
    names.means("inside.example", ["10.1.2.3"])

    with pytest.raises(ForbiddenAddress) as refused:
        await body_of(Outbound(user_agent="Test/1", look_up=names), site.url("/", "inside.example"))

    assert "10.1.2.3" not in refused.value.message


async def test_a_name_that_mixes_public_and_private_addresses_is_refused(
    outbound: Outbound, names: Names, site: Site
) -> None:
    names.means("mixed.example", ["127.0.0.1", "10.0.0.1"])

    with pytest.raises(ForbiddenAddress):
        await body_of(outbound, site.url("/picture", "mixed.example"))

    assert site.seen == []


async def test_a_name_that_changes_its_mind_gains_nothing(outbound: Outbound, names: Names, site: Site) -> None:
    """Looked up once: what was checked is what is connected to."""
    names.means("rebound.example", ["127.0.0.1"], ["127.0.0.2"])

    _, body = await body_of(outbound, site.url("/picture", "rebound.example"))

    assert body == PICTURE
    assert names.asked == ["rebound.example"]


async def test_a_redirect_is_followed_and_looked_up_anew(outbound: Outbound, names: Names, site: Site) -> None:
    names.means("other.example", ["127.0.0.1"])

    for status in (301, 302, 303, 307, 308):
        fetched, body = await body_of(
            outbound, site.url(f"/redirect?status={status}&to={site.url('/picture', 'other.example')}")
        )
        assert (fetched.url, body) == (site.url("/picture", "other.example"), PICTURE)

    assert names.asked == ["site.example", "other.example"] * 5


async def test_a_relative_redirect_stays_where_it_is(outbound: Outbound, site: Site) -> None:
    fetched, _ = await body_of(outbound, site.url("/redirect?to=/picture"))

    assert fetched.url == site.url("/picture")


@pytest.mark.parametrize(
    "to",
    [
        "http://127.0.0.2/",
        "http://169.254.169.254/latest/meta-data/",
        "http://[::1]/",
        "http://inside.example/",
        "http://0x7f000001/",
        "http://me:secret@site.example/",
        "ftp://site.example/",
        "file:///etc/passwd",
        "//10.0.0.1/",
        "http://site.example:22/",
    ],
)
async def test_a_redirect_leads_nowhere_that_could_not_be_asked(
    outbound: Outbound, names: Names, site: Site, to: str
) -> None:
    names.means("inside.example", ["10.0.0.1"])

    with pytest.raises(ForbiddenAddress):
        await body_of(outbound, site.url(f"/redirect?to={to}"))


async def test_redirects_end(outbound: Outbound, site: Site) -> None:
    with pytest.raises(FetchFailed, match="more than 5 times"):
        await body_of(outbound, site.url("/loop"))

    assert len(site.seen) == 6


@pytest.mark.parametrize(("path", "said"), [("/redirect?to=", "nowhere"), ("/typed?type=text/html", "text/html")])
async def test_what_is_not_wanted_is_named(outbound: Outbound, site: Site, path: str, said: str) -> None:
    with pytest.raises(FetchFailed, match=said):
        await body_of(outbound, site.url(path), accept=("image/png", "image/webp"))


async def test_a_type_is_taken_in_any_spelling(outbound: Outbound, site: Site) -> None:
    fetched, _ = await body_of(outbound, site.url("/typed?type=IMAGE/PNG;%20q=1"), accept=("image/png",))

    assert fetched.content_type == "image/png"


async def test_what_is_compressed_unasked_is_refused(outbound: Outbound, site: Site) -> None:
    with pytest.raises(WrongContent, match="compressed"):
        await body_of(outbound, site.url("/squeezed"))


async def test_a_file_that_says_it_is_too_large_is_not_read(outbound: Outbound, site: Site) -> None:
    with pytest.raises(TooLarge) as refused:
        async with outbound.get(site.url("/huge"), limit=1_000_000):
            pytest.fail("it was taken")

    assert refused.value.details == {"limit_bytes": 1_000_000}


async def test_a_file_that_never_ends_is_read_as_far_as_allowed(outbound: Outbound, site: Site) -> None:
    received = bytearray()

    async def read() -> None:
        async with outbound.get(site.url("/endless"), limit=1_000_000) as fetched:
            async for chunk in fetched.chunks:
                received.extend(chunk)

    with pytest.raises(TooLarge):
        await read()

    assert len(received) <= 1_000_000


async def test_a_file_that_is_exactly_as_large_as_allowed_comes(outbound: Outbound, site: Site) -> None:
    _, body = await body_of(outbound, site.url("/picture"), limit=len(PICTURE))

    assert body == PICTURE


async def test_a_file_that_breaks_off_is_not_a_file(outbound: Outbound, site: Site) -> None:
    with pytest.raises(FetchFailed, match="broke off"):
        await body_of(outbound, site.url("/cut-off"))


@pytest.mark.parametrize(
    ("path", "patience"),
    [("/silent", Patience(idle=0.2)), ("/dripping", Patience(total=0.5)), ("/silent", Patience(total=0.3))],
    ids=["it says nothing more", "it never comes to an end", "in all"],
)
async def test_nobody_is_waited_for_for_ever(names: Names, site: Site, path: str, patience: Patience) -> None:
    outbound = Outbound(user_agent="Test/1", allowed=LOOPBACK, look_up=names, patience=patience)

    with pytest.raises(FetchFailed, match="too long"):
        await body_of(outbound, site.url(path))


async def test_a_resolver_that_does_not_answer_is_not_waited_for(site: Site) -> None:
    async def never(_: str) -> Sequence[Address]:
        await asyncio.Event().wait()
        return ()

    outbound = Outbound(user_agent="Test/1", look_up=never, patience=Patience(connect=0.2))

    with pytest.raises(FetchFailed, match="could not be found"):
        await body_of(outbound, site.url("/picture"))


async def test_what_does_not_exist_is_told_apart(outbound: Outbound, names: Names, site: Site) -> None:
    names.means("nothing.example", [])

    for url, said in (
        (site.url("/x"), "answered 404"),
        (site.url("/", "unknown.example"), "could not be found"),
        (site.url("/", "nothing.example"), "has no address"),
        ("http://site.example:1025/", "No connection to site.example"),
    ):
        with pytest.raises(FetchFailed, match=said):
            await body_of(outbound, url)


async def test_names_that_are_never_answered_leave_room_for_others(monkeypatch: pytest.MonkeyPatch) -> None:
    let_go = threading.Event()

    def answered(host: str, *_: object, **__: object) -> list[tuple[object, ...]]:
        if host.startswith("silent"):
            let_go.wait(60)
        return [(socket.AF_INET, socket.SOCK_STREAM, 0, "", ("192.0.2.1", 0))]

    monkeypatch.setattr(socket, "getaddrinfo", answered)
    look_up = SystemLookUp()

    async with asyncio.TaskGroup() as group:
        for number in range(64):
            group.create_task(look_up(f"silent-{number}.example"))
        async with asyncio.timeout(60):
            found = await look_up("quick.example")
        let_go.set()

    assert found == (IPv4Address("192.0.2.1"),)
