"""Whether a request comes from a page of our own; browsers say where from, and nobody else needs to."""

import ipaddress
from collections.abc import Mapping
from urllib.parse import urlsplit

_PORTS = {"http": 80, "https": 443, "ws": 80, "wss": 443}


def is_loopback(host: str) -> bool:
    """Whether a name or an address, without a port, always means the asker's own machine."""
    name = host.strip("[]").rstrip(".").lower()
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def host_of(netloc: str) -> tuple[str, int | None]:
    """A Host header (or what stands between `//` and `/`) as name and port; ("", None) for what is none."""
    try:
        parts = urlsplit(f"//{netloc}")
        named = (parts.hostname or "", parts.port)
    except ValueError:
        named = ("", None)
    return named


def same_origin(headers: Mapping[str, str], public_url: str | None = None) -> bool:
    """Whether a browser says that one of our own pages asks.

    Sec-Fetch-Site decides where it is sent (https and loopback alone); else Origin must name the Host that was
    asked, or the public address. A request that says neither is none of a page's.
    """
    site = headers.get("sec-fetch-site")
    if site is not None:
        return site.lower() == "same-origin"
    return _names_us(headers.get("origin"), headers.get("host", ""), public_url)


def foreign(headers: Mapping[str, str], public_url: str | None = None) -> bool:
    """Whether a browser says that a page of somebody else asks; programs say nothing and are not foreign."""
    site, origin = headers.get("sec-fetch-site", "none").lower(), headers.get("origin")
    if site in {"cross-site", "same-site"}:
        return True
    return site != "same-origin" and origin is not None and not same_origin(headers, public_url)


def visits(kind: str, method: str, headers: Mapping[str, str]) -> bool:
    """Whether somebody followed a link to a page: nothing of the answer reaches the page that had the link."""
    return (
        kind == "http"
        and method in {"GET", "HEAD"}
        and headers.get("sec-fetch-mode") == "navigate"
        and headers.get("sec-fetch-dest") == "document"
        and "origin" not in headers
    )


def differs_on_loopback(headers: Mapping[str, str]) -> bool:
    """ComfyUI's own guard: a page of another host or port asks a server that it calls by a loopback name.

    A port counts where both have one, an origin without a host (`null`) not at all, and a Host that is no loopback
    name is not guarded (server.py; wire contract 1).
    """
    host, port = host_of(headers.get("host", ""))
    if not is_loopback(host):
        return False
    if headers.get("sec-fetch-site", "").lower() == "cross-site":
        return True
    asking, from_port = _asking(headers.get("origin", ""))
    both = port is not None and from_port is not None
    return bool(asking) and (asking != host or (both and port != from_port))


def _asking(origin: str) -> tuple[str, int | None]:
    """Name and port as they are written; ("", None) for `null`."""
    return host_of(origin.partition("://")[2])


def _names_us(origin: str | None, host: str, public_url: str | None) -> bool:
    asking = _address(origin or "")
    if asking is None:
        return False
    if public_url and asking == _address(public_url):
        return True
    name, port = host_of(host)
    scheme = urlsplit(origin or "").scheme
    return asking[1:] == (name, port or _PORTS[scheme])


def _address(url: str) -> tuple[str, str, int] | None:
    """Scheme, name and port; None for what is no address of a page."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return None
    if parts.scheme not in _PORTS or not parts.hostname:
        return None
    return parts.scheme, parts.hostname, port or _PORTS[parts.scheme]
