"""Everything that one simulated server is, in one place that the routes can reach."""

import itertools
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from atelier.simulator.catalogue import Catalogue
from atelier.simulator.config import SimulatorConfig
from atelier.simulator.faults import Faults
from atelier.simulator.folders import Folders
from atelier.simulator.nodes.call import Workshop
from atelier.simulator.prompt_queue import Prompt, PromptQueue
from atelier.simulator.sockets import Sockets


@dataclass(slots=True)
class Tally:
    """What was done, for tests that prove that nothing is done twice; kept only where somebody can ask for it."""

    wanted: bool = False
    executions: Counter[str] = field(default_factory=Counter[str])
    drawn: list[dict[str, str]] = field(default_factory=list[dict[str, str]])

    def picture(self, prompt_id: str, digest: str) -> None:
        """A model node drew the picture of that digest (of prompt, seed, model and cfg)."""
        if self.wanted:
            self.drawn.append({"prompt_id": prompt_id, "digest": digest})

    def execution(self, prompt_id: str) -> None:
        """A prompt is about to run."""
        if self.wanted:
            self.executions[prompt_id] += 1


@dataclass(slots=True)
class Simulator:
    """One server. The event loop owns it; the worker thread shares queue, sockets, faults and workshop."""

    config: SimulatorConfig
    folders: Folders
    catalogue: Catalogue
    sockets: Sockets
    queue: PromptQueue
    faults: Faults
    shop: Workshop
    tally: Tally = field(default_factory=Tally)
    numbers: Iterator[int] = field(default_factory=itertools.count)

    def status(self) -> dict[str, Any]:
        return {"exec_info": {"queue_remaining": self.queue.remaining()}}

    def interrupt(self, prompt_id: object = None) -> None:
        """Stop what runs; with an id only if that is what runs. A server that is idle has nothing to stop."""
        running: Prompt | None = self.queue.running
        if running is not None and (prompt_id is None or prompt_id == running.id):
            self.shop.interrupt.set()


SIMULATOR: web.AppKey[Simulator] = web.AppKey("simulator", Simulator)


def simulator_of(request: web.Request) -> Simulator:
    return request.config_dict[SIMULATOR]
