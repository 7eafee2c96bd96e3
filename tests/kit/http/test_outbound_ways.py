"""How strangers are asked: without a proxy, by a POST that follows nobody, with certificates that count."""

import ssl
from pathlib import Path

import pytest

from atelier.kit.http.outbound import FetchFailed, ForbiddenAddress, Outbound
from support.strangers import LOOPBACK, PICTURE, Names, Site, body_of, made_certificate, serving


async def test_a_proxy_of_the_environment_is_not_used(
    outbound: Outbound, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")

    _, body = await body_of(outbound, site.url("/picture"))

    assert body == PICTURE


async def test_a_post_gives_the_status_and_how_the_answer_begins(outbound: Outbound, site: Site) -> None:
    answer = await outbound.post(site.url("/echo"), b"hello\x00", {"X-One": "1"})

    assert (answer.status, len(answer.said), answer.said[:5]) == (202, 200, "hello")
    assert "\0" not in answer.said
    assert site.seen[0].headers["X-One"] == "1"


async def test_a_post_follows_nobody(outbound: Outbound, site: Site) -> None:
    answer = await outbound.post(site.url("/redirect?to=/echo&status=307"), b"hello")

    assert (answer.status, len(site.seen)) == (307, 1)


async def test_a_post_reads_no_more_of_an_endless_answer_than_it_shows(outbound: Outbound, site: Site) -> None:
    answer = await outbound.post(site.url("/endless"), b"hello")

    assert (answer.status, answer.said) == (200, "x" * 200)


async def test_a_post_that_is_not_answered_ends(outbound: Outbound, site: Site) -> None:
    answer = await outbound.post(site.url("/silent"), b"hello", seconds=2)

    assert (answer.status, answer.said) == (200, "x")


async def test_a_post_goes_nowhere_private(names: Names, site: Site) -> None:
    with pytest.raises(ForbiddenAddress):
        await Outbound(user_agent="Test/1", look_up=names).post(site.url("/echo"), b"hello")

    assert site.seen == []


async def test_checking_an_address_looks_nothing_up(names: Names) -> None:
    outbound = Outbound(user_agent="Test/1", look_up=names)

    outbound.check("https://site.example/hook")
    with pytest.raises(ForbiddenAddress):
        outbound.check("http://10.0.0.1/hook")

    assert names.asked == []


async def test_the_systems_resolver_finds_loopback() -> None:
    with pytest.raises(ForbiddenAddress, match="localhost"):
        await body_of(Outbound(user_agent="Test/1"), "http://localhost/")


async def test_a_certificate_counts_for_the_name_that_was_asked_for(names: Names, tmp_path: Path) -> None:
    certificate = made_certificate(tmp_path, "site.example")
    names.means("impostor.example", ["127.0.0.1"])
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    server.load_cert_chain(certificate)
    trusting = Outbound(
        user_agent="Test/1",
        allowed=LOOPBACK,
        look_up=names,
        tls=ssl.create_default_context(cafile=str(certificate)),
    )
    plain = Outbound(user_agent="Test/1", allowed=LOOPBACK, look_up=names)

    async with serving(server) as site:
        _, body = await body_of(trusting, site.url("/picture").replace("http:", "https:"))
        for outbound, host in ((trusting, "impostor.example"), (plain, "site.example")):
            with pytest.raises(FetchFailed, match=f"certificate of {host}"):
                await body_of(outbound, site.url("/picture", host).replace("http:", "https:"))
        with pytest.raises(ForbiddenAddress, match="https to http"):
            await body_of(trusting, site.url(f"/redirect?to={site.url('/picture')}").replace("http:", "https:", 1))

    assert body == PICTURE
