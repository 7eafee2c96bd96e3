"""How long a prompt may run: its job's word goes first, then its server's, then the installation's.

Without any of them it is by what the graph makes. The time counts from execution_start.
"""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from atelier.dispatch.model import DispatchSettings
from atelier.fleet.model import Server
from atelier.fleet.prefetch import runs_video
from atelier.jobs.model import Claim

_SHOWS_IMAGES = re.compile(r"(save|preview|output|send).*image|image.*(save|preview|output|send)", re.IGNORECASE)

_MAKES = {"image": "images", "video": "video", "other": "neither images nor video"}


@dataclass(frozen=True, slots=True)
class Limit:
    """`whose` says in words which runs may take these seconds."""

    seconds: float
    whose: str

    @property
    def words(self) -> str:
        return f"{self.seconds:g} s that {self.whose} may take"


def kind(classes: Collection[str]) -> str:
    """What a graph of these node classes makes: `video`, `image` or `other` (sound, text, meshes, latents)."""
    if runs_video(classes):
        return "video"
    return "image" if any(_SHOWS_IMAGES.search(name) for name in classes) else "other"


def limit(claim: Claim, graph: Mapping[str, Any], server: Server, settings: DispatchSettings) -> Limit:
    """The limit of this claim's run on this server."""
    if claim.run_timeout is not None:
        return Limit(claim.run_timeout, "this job")
    if server.run_timeout is not None:
        return Limit(server.run_timeout, f"a run on {server.id}")
    if settings.run_timeout is not None:
        return Limit(settings.run_timeout, "any run")
    made = kind([str(node["class_type"]) for node in graph.values()])
    return Limit(settings.run_timeouts[made], f"a run that makes {_MAKES[made]}")
