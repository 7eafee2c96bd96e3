"""What the public internet is: an address that somebody else names is asked only if it is no part of our networks.

The ranges are those of the IANA registries of special-purpose addresses (RFC 6890 and its updates). Addresses that
stand for IPv4 ones (mapped, 6to4, Teredo, NAT64) are refused whatever they stand for.
"""

import ipaddress
import re
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import ClassVar

from yarl import URL

from atelier.kit.errors import Kind, Refusal

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

LONGEST_URL = 2048
"""Bytes: no index of PostgreSQL has room for a text of more than some 2,600."""

NOT_PUBLIC_4 = tuple(
    IPv4Network(written)
    for written in (
        "0.0.0.0/8",  # this host
        "10.0.0.0/8",
        "100.64.0.0/10",  # behind carriers' NAT; Alibaba's metadata
        "127.0.0.0/8",
        "168.63.129.16/32",  # Azure's own, from inside each of its machines
        "169.254.0.0/16",  # link-local; nearly every cloud's metadata
        "172.16.0.0/12",
        "192.0.0.0/24",  # protocols; Oracle's metadata
        "192.0.2.0/24",
        "192.88.99.0/24",  # relays of 6to4
        "192.168.0.0/16",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/4",
        "240.0.0.0/4",
    )
)
UNICAST_6 = IPv6Network("2000::/3")
"""All that is given out as public; NAT64, mapped, unique local, link-local and multicast addresses lie outside."""
NOT_PUBLIC_6 = tuple(
    IPv6Network(written)
    for written in (
        "2001::/23",  # protocols, Teredo among them
        "2001:db8::/32",
        "2002::/16",  # 6to4
        "2620:4f:8000::/48",  # AS112
        "3fff::/20",
    )
)

WELL_KNOWN_PORTS = frozenset({80, 443})
FIRST_FREE_PORT = 1024
OTHER_PROTOCOLS = frozenset(
    {1719, 1720, 1723, 2049, 3659, 4045, 4190, 5060, 5061, 6000, 6379, 6566, *range(6665, 6670)}
    | {6679, 6697, 9100, 10080, 11211, 25565}
)
"""Where no web server is meant: browsers' list (Fetch standard, "bad ports"), and stores that read any line."""

_NAME = re.compile(
    r"(?=.{1,253}\Z)(?:[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?\.)*[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?\.?"
)
_NUMERIC = re.compile(r"(?:.*\.)?(?:[0-9]+|0x[0-9a-f]*)\.?")


class ForbiddenAddress(Refusal):
    """Nothing of ours asks this address: it is no plain http address, or not a public one."""

    kind: ClassVar[Kind] = Kind.INVALID
    code: ClassVar[str] = "forbidden_address"


def parse_networks(written: Sequence[str]) -> tuple[Network, ...]:
    """Networks as CIDR or single addresses. Raises ValueError."""
    return tuple(ipaddress.ip_network(each) for each in written)


def parse_target(written: str) -> URL:
    """An address as it will be asked for, without its fragment. Nothing is looked up. Raises ForbiddenAddress."""
    if len(written.encode(errors="replace")) > LONGEST_URL:
        raise ForbiddenAddress(f"The address is longer than {LONGEST_URL} bytes.")
    try:
        url = URL(written.strip()).with_fragment(None)
    except ValueError:
        raise ForbiddenAddress("This is no address: write one like https://example.com/picture.png.") from None
    _check_form(url)
    _check_host(url.raw_host or "")
    _check_port(url.port or 0)
    return url


def literal(host: str) -> Address | None:
    """The address that a host is written as; None for a name."""
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def is_public(address: Address, allowed: Sequence[Network] = ()) -> bool:
    """Whether it may be asked: public, or of a network that the operator has opened."""
    if isinstance(address, IPv6Address) and address.scope_id is not None:
        return False
    if any(address.version == network.version and address in network for network in allowed):
        return True
    if isinstance(address, IPv4Address):
        return not any(address in network for network in NOT_PUBLIC_4)
    return address in UNICAST_6 and not any(address in network for network in NOT_PUBLIC_6)


def _check_form(url: URL) -> None:
    if url.scheme not in {"http", "https"}:
        raise ForbiddenAddress("Only http and https addresses are asked.")
    if url.raw_user is not None or url.raw_password is not None:
        raise ForbiddenAddress("Keep names and passwords out of addresses.")


def _check_host(host: str) -> None:
    """Machines read 127.1, 0x7f000001 and 2130706433 as 127.0.0.1: an address has one spelling here."""
    if literal(host) is not None:
        return
    if _NUMERIC.fullmatch(host):
        raise ForbiddenAddress("Write an IPv4 address as four decimal numbers.")
    if not _NAME.fullmatch(host):
        raise ForbiddenAddress("The address names no host.")


def _check_port(port: int) -> None:
    if (port < FIRST_FREE_PORT and port not in WELL_KNOWN_PORTS) or port in OTHER_PROTOCOLS:
        raise ForbiddenAddress(f"Port {port} is not asked: use 80, 443 or one of a web server above 1023.")
