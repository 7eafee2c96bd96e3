"""What happens before the servers: connections are cut, slowed down and silenced, as chance has it."""

import asyncio
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from tools.chaos.fault_proxy import FaultProxy


@dataclass(slots=True)
class Weather:
    """Something happens to one of the proxies' servers about every `pause` seconds."""

    proxies: Sequence[FaultProxy]
    pause: float
    chance: random.Random
    happened: Counter[str] = field(default_factory=Counter[str])

    async def blow(self) -> None:
        """For ever."""
        kinds = {"cut": self._cut, "slowed": self._slow, "silenced": self._silence}
        while True:
            await asyncio.sleep(self.chance.uniform(0.5, 1.5) * self.pause)
            name = self.chance.choice(sorted(kinds))
            self.happened[name] += 1
            await kinds[name](self.chance.choice(self.proxies))

    async def _cut(self, proxy: FaultProxy) -> None:
        proxy.cut()

    async def _slow(self, proxy: FaultProxy) -> None:
        proxy.lag = self.chance.uniform(0.02, 0.2)
        await asyncio.sleep(self.chance.uniform(1.0, 4.0))
        proxy.lag = 0.0

    async def _silence(self, proxy: FaultProxy) -> None:
        """What is sent is swallowed, either way, for less than it takes until a server is given up."""
        proxy.hang(hangs=True)
        await asyncio.sleep(self.chance.uniform(0.5, 3.0))
        proxy.hang(hangs=False)
        proxy.cut()
