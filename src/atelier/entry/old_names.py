"""The names that systems before Atelier gave to the same settings still work; ours win where both are set."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

OURS: Mapping[str, str] = {
    "COMFYUI_URLS": "ATELIER_COMFYUI_URLS",
    "COMFYUI_URL": "ATELIER_COMFYUI_URLS",
    "COMFYUI_API_URL": "ATELIER_COMFYUI_URLS",
    "COMFYUI_API_PORT": "ATELIER_COMFYUI_URLS",
    "COMFYUI_SERVICE_TOKEN": "ATELIER_COMFYUI_TOKEN",
    "COMFYUI_API_KEY": "ATELIER_COMFYUI_TOKEN",
    "COMFYUI_TIMEOUT": "ATELIER_RUN_TIMEOUT",
    "COMFYUI_POLL_INTERVAL": "ATELIER_POLL_INTERVAL",
}
"""Old name to ours. Where several mean the same, the first one that is set counts."""

MILLISECONDS_FROM: Mapping[str, int] = {"COMFYUI_TIMEOUT": 10_000, "COMFYUI_POLL_INTERVAL": 100}
"""Bare numbers from here on were meant in milliseconds: nobody polls every 100 s."""


@dataclass(frozen=True, slots=True)
class Translation:
    """`values` by the name of the field; `read` says which old name was read as which of ours."""

    values: Mapping[str, str] = field(repr=False)
    read: Mapping[str, str]


def translate(environ: Mapping[str, str]) -> Translation:
    """What the old names in `environ` say, in our terms. Those that ours override are left out."""
    given = {name: environ.get(name, "").strip() for name in (*OURS, *OURS.values())}
    values: dict[str, str] = {}
    read: dict[str, str] = {}
    for old, ours in OURS.items():
        name = ours.removeprefix("ATELIER_").lower()
        if given[old] and not given[ours] and name not in values:
            values[name] = _in_our_terms(old, given)
            read[old] = ours
    return Translation(values, read)


def _in_our_terms(old: str, given: Mapping[str, str]) -> str:
    value = given[old]
    match old:
        case "COMFYUI_API_URL":
            return _with_port(value, given["COMFYUI_API_PORT"])
        case "COMFYUI_API_PORT":
            return f"http://127.0.0.1:{value}"
        case _ if value.isdecimal() and int(value) >= MILLISECONDS_FROM.get(old, int(value) + 1):
            return str(int(value) / 1000)
        case _:
            return value


def _with_port(url: str, port: str) -> str:
    """The port was a variable of its own; one that stands in the address already is the truer one."""
    with_scheme = url if "://" in url else f"http://{url}"
    parts = urlsplit(with_scheme)
    if not port or parts.netloc.rpartition(":")[2].isdigit():
        return with_scheme
    return parts._replace(netloc=f"{parts.netloc}:{port}").geturl()
