"""A farm whose servers write into every `progress` when they sent it: `python -m tools.bench.native.stamping`.

Clients and servers are on one machine and have one clock. What Atelier does not know it passes on as it is.
"""

import time
from collections.abc import Mapping
from typing import Any

from atelier.simulator import sockets
from tools.bench.fleet import farm

STAMP = "sent"
"""Seconds of the wall clock."""

_encode = sockets.encode


def _stamped(kind: str, data: Mapping[str, Any]) -> str:
    return _encode(kind, {**data, STAMP: time.time()} if kind == "progress" else data)


if __name__ == "__main__":
    sockets.encode = _stamped
    farm.main()
