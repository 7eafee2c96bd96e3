"""The port is taken before anything else is started, so that a start that cannot succeed leaves nothing behind."""

import errno
import socket

from atelier.kit.errors import SetupFailed

BACKLOG = 2048


def listen(host: str, port: int) -> socket.socket:
    """A listening socket on the first address of `host`; port 0 takes any free one. Raises SetupFailed."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
    except OSError as error:
        raise refused(host, port, error) from error
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(BACKLOG)
        listener.setblocking(False)
    except OSError as error:
        listener.close()
        raise refused(host, port, error) from error
    return listener


def url_of(listener: socket.socket) -> str:
    """Where a client on this machine reaches the listener."""
    return address_of(str(listener.getsockname()[0]), int(listener.getsockname()[1]))


def address_of(host: str, port: int) -> str:
    """The same for a host and port that are listened on."""
    reachable = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - it is read, not bound
    return f"http://[{reachable}]:{port}" if ":" in reachable else f"http://{reachable}:{port}"


def refused(host: str, port: int, error: OSError) -> SetupFailed:
    """What to do about an address that cannot be listened on."""
    if isinstance(error, socket.gaierror):
        return SetupFailed(f"{host!r} is no address of this machine: let ATELIER_HOST be 127.0.0.1 or 0.0.0.0")
    match error.errno:
        case errno.EADDRINUSE:
            cure = "another program listens there: stop it, or choose another port with --port or ATELIER_PORT"
        case errno.EACCES:
            cure = "ports below 1024 need more rights: choose a higher one with --port or ATELIER_PORT"
        case errno.EADDRNOTAVAIL:
            cure = "this machine has no such address: let ATELIER_HOST be 127.0.0.1 or 0.0.0.0"
        case _:
            cure = error.strerror or str(error)
    return SetupFailed(f"port {port} of {host} cannot be used: {cure}")
