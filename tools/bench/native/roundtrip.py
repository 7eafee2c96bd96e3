"""A prompt there and back while all is idle: the same server asked directly and through Atelier, in turns."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tools.bench import processes
from tools.bench.graphs import Graph, plain, shown
from tools.bench.native.asking import Asker, asker
from tools.bench.native.plan import Plan
from tools.bench.native.product import WAYS, product
from tools.bench.section import Say

KINDS: Mapping[str, Callable[[], Graph]] = {"saved": plain, "shown": shown}
DIRECT = "direct"
PAUSE_SECONDS = 0.005

Ways = Mapping[str, tuple[str, str]]
"""Name to address and key."""


@dataclass(slots=True)
class RoundTrips:
    """Milliseconds by `(product, kind, way)`; `wrong` counts prompts that ended otherwise than they could."""

    millis: dict[tuple[str, str, str], list[float]] = field(
        default_factory=dict[tuple[str, str, str], list[float]]
    )
    wrong: int = 0

    def add(self, product: str, kind: str, way: str, taken: list[float]) -> None:
        self.millis.setdefault((product, kind, way), []).extend(taken)


async def round_trips(plan: Plan, folder: Path, say: Say) -> RoundTrips:
    """In one process, and then with `serve` and `dispatch` apart; each beside the server that it drives."""
    found = RoundTrips()
    for name in WAYS:
        say(f"a server and the product, {name}")
        async with (
            processes.server(folder / f"trip-{name}.server", 0.0) as server,
            product(name, folder / f"trip-{name}", [server.url], 1) as made,
        ):
            await _measure(plan, found, name, {DIRECT: (server.url, ""), name: (made.api.url, made.keys[0])}, say)
    return found


async def _measure(plan: Plan, found: RoundTrips, name: str, ways: Ways, say: Say) -> None:
    """A socket is open only while its way is measured, so that no other pays for it."""
    for url, key in ways.values():
        async with asker(url, key) as one:
            for make in KINDS.values():
                await _turn(one, make, plan.warm_up)
    for number in range(plan.rounds):
        say(f"round trips, {name}, round {number + 1} of {plan.rounds}")
        for way, (url, key) in ways.items():
            async with asker(url, key) as one:
                for kind, make in KINDS.items():
                    found.add(name, kind, way, await _turn(one, make, plan.prompts))
            found.wrong += len(one.wrong)


async def _turn(one: Asker, make: Callable[[], Graph], count: int) -> list[float]:
    taken: list[float] = []
    for _ in range(count):
        taken.append(await one.round_trip(make()))
        await asyncio.sleep(PAUSE_SECONDS)
    return taken
