"""A web server of a stranger, with all that strangers do, and a resolver that is told what names mean."""

import asyncio
import datetime as dt
import ipaddress
import ssl
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from atelier.kit import clock
from atelier.kit.http.outbound import Fetched, Outbound
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


async def body_of(
    outbound: Outbound, url: str, *, limit: int = 100_000, accept: Sequence[str] = ()
) -> tuple[Fetched, bytes]:
    async with outbound.get(url, limit=limit, accept=accept) as fetched:
        return fetched, b"".join([chunk async for chunk in fetched.chunks])


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
