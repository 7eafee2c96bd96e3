"""What clients name is asked only where it may be asked, only as much of it as is wanted, and only for so long."""

import asyncio
import datetime as dt
import ipaddress
import ssl
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from atelier.kit import clock
from atelier.kit.http.outbound import (
    Fetched,
    FetchFailed,
    ForbiddenAddress,
    Outbound,
    Patience,
    TooLarge,
    WrongContent,
)
from atelier.kit.http.public_addresses import Address, parse_networks

LOOPBACK = parse_networks(("127.0.0.1",))
PICTURE = b"\x89PNG" + b"x" * 5000


@dataclass
class Names:
    """A resolver that is told what names mean, and remembers what it was asked. Answers may change each time."""

    known: dict[str, list[Sequence[str]]] = field(default_factory=dict[str, list[Sequence[str]]])
    asked: list[str] = field(default_factory=list[str])

    def means(self, name: str, *answers: Sequence[str]) -> None:
        self.known[name] = list(answers)

    async def __call__(self, host: str) -> Sequence[Address]:
        self.asked.append(host)
        answers = self.known.get(host)
        if answers is None:
            raise OSError("no such name")
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        return [ipaddress.ip_address(each) for each in answer]


@dataclass
class Site:
    """A web server of the test: what was asked of it, and where it is."""

    port: int
    seen: list[web.BaseRequest] = field(default_factory=list[web.BaseRequest])

    def url(self, path: str, host: str = "site.example") -> str:
        return f"http://{host}:{self.port}{path}"


async def endless(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": "image/png"})
    await response.prepare(request)
    while True:
        await response.write(b"x" * 65536)


async def silent(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": "image/png"})
    await response.prepare(request)
    await response.write(b"x")
    await asyncio.Event().wait()
    return response


async def dripping(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": "image/png"})
    await response.prepare(request)
    while True:
        await response.write(b"x")
        await asyncio.sleep(0.02)


async def huge(request: web.Request) -> web.StreamResponse:
    """It says how long it is and sends next to nothing."""
    response = web.StreamResponse(headers={"Content-Type": "image/png", "Content-Length": "2000000000"})
    await response.prepare(request)
    await response.write(b"x")
    return response


async def cut_off(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": "image/png", "Content-Length": "9000"})
    await response.prepare(request)
    await response.write(b"x" * 10)
    assert request.transport is not None
    request.transport.close()
    return response


async def redirect(request: web.Request) -> web.StreamResponse:
    return web.Response(status=int(request.query.get("status", "302")), headers={"Location": request.query["to"]})


async def loop(request: web.Request) -> web.StreamResponse:
    return web.Response(status=302, headers={"Location": str(request.rel_url)})


async def picture(request: web.Request) -> web.StreamResponse:
    return web.Response(body=PICTURE, headers={"Content-Type": "image/png", "Set-Cookie": "a=b"})


async def typed(request: web.Request) -> web.StreamResponse:
    return web.Response(body=b"<html>", headers={"Content-Type": request.query["type"]})


async def squeezed(request: web.Request) -> web.StreamResponse:
    return web.Response(body=b"x", headers={"Content-Type": "image/png", "Content-Encoding": "gzip"})


async def echo(request: web.Request) -> web.StreamResponse:
    return web.Response(status=202, body=(await request.read()) * 500)


HANDLERS: dict[str, Callable[[web.Request], Awaitable[web.StreamResponse]]] = {
    "/endless": endless,
    "/silent": silent,
    "/dripping": dripping,
    "/huge": huge,
    "/cut-off": cut_off,
    "/redirect": redirect,
    "/loop": loop,
    "/picture": picture,
    "/typed": typed,
    "/squeezed": squeezed,
    "/echo": echo,
}


@pytest.fixture
async def site() -> AsyncGenerator[Site]:
    async with serving() as found:
        yield found


class serving:  # noqa: N801 - it reads as what it is
    """The site of the test, over TLS where a context is given."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self._tls = tls

    async def __aenter__(self) -> Site:
        app = web.Application()
        found = Site(0)

        async def note(
            request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
        ) -> web.StreamResponse:
            found.seen.append(request)
            return await handler(request)

        app.middlewares.append(web.middleware(note))
        for path, handler in HANDLERS.items():
            app.router.add_route("*", path, handler)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0, ssl_context=self._tls).start()
        found.port = self._runner.addresses[0][1]
        return found

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()


@pytest.fixture
def names() -> Names:
    made = Names()
    made.means("site.example", ["127.0.0.1"])
    return made


@pytest.fixture
def outbound(names: Names) -> Outbound:
    return Outbound(user_agent="Test/1", allowed=LOOPBACK, look_up=names)


async def body_of(
    outbound: Outbound, url: str, *, limit: int = 100_000, accept: Sequence[str] = ()
) -> tuple[Fetched, bytes]:
    async with outbound.get(url, limit=limit, accept=accept) as fetched:
        return fetched, b"".join([chunk async for chunk in fetched.chunks])


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


def made_certificate(folder: Path, name: str) -> Path:
    """Key and certificate of their own, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(clock.utcnow() - dt.timedelta(days=1))
        .not_valid_after(clock.utcnow() + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    file = folder / "certificate.pem"
    file.write_bytes(private + made.public_bytes(Encoding.PEM))
    return file
