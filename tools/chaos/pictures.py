"""What servers really rendered, from the files in their folders: those outlive a kill -9, counters do not."""

import datetime as dt
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from atelier.kit.ids import parse_uuid


@dataclass(frozen=True, slots=True)
class Render:
    """A picture that this server saved for this prompt, at that time of this machine's clock."""

    server: str
    prompt_id: uuid.UUID
    at: dt.datetime


def rendered(folder: Path, servers: Sequence[str]) -> Sequence[Render]:
    """All pictures below the servers' output folders, which are named after their prompts."""
    return [render for server in servers for render in _of(server, folder / server / "output")]


def _of(server: str, output: Path) -> list[Render]:
    found: list[Render] = []
    for file in sorted(output.rglob("*.png")):
        prompt_id = next((known for part in file.parts if (known := parse_uuid(part)) is not None), None)
        if prompt_id is not None:
            at = dt.datetime.fromtimestamp(file.stat().st_mtime, dt.UTC)
            found.append(Render(server, prompt_id, at))
    return found
