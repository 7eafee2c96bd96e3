"""A deed picks its victim by its own chance, holds it alone while it lasts, and leaves nothing broken behind."""

import asyncio
import contextlib
import datetime as dt
import random
from collections.abc import Awaitable, Callable, Generator, Iterable
from dataclasses import dataclass, field

from tools.chaos.leases import LeaseWatch
from tools.chaos.site import Site


class NothingToDo(Exception):  # noqa: N818 - it is no error
    """Nobody is left that this could be done to just now."""


@dataclass(slots=True)
class Deed:
    """One deed as it was done; `target` None: it was not, for want of a victim."""

    number: int
    kind: str
    began: dt.datetime
    ended: dt.datetime | None = None
    target: str | None = None
    words: str = ""

    def touches(self, server: str, began: dt.datetime, ended: dt.datetime) -> bool:
        """Whether it was done to this server (or to all) during that time."""
        return (
            self.target in {server, "all"} and self.began <= ended and (self.ended is None or self.ended >= began)
        )


@dataclass(slots=True)
class Stage:
    """What deeds act on. `calm` is set when all of them shall come to their end."""

    site: Site
    watch: LeaseWatch
    calm: asyncio.Event = field(default_factory=asyncio.Event)
    hurt: set[str] = field(default_factory=set[str])
    done: list[Deed] = field(default_factory=list[Deed])


@dataclass(slots=True)
class Act:
    """One deed while it is done."""

    stage: Stage
    chance: random.Random
    deed: Deed

    @property
    def site(self) -> Site:
        return self.stage.site

    async def pause(self, least: float, most: float) -> None:
        """A while, cut short when all shall be calm."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self.chance.uniform(least, most)):
                await self.stage.calm.wait()

    @contextlib.contextmanager
    def victim(self, names: Iterable[str]) -> Generator[str]:
        """One of these that lives and that no other deed holds. Raises NothingToDo."""
        free = [name for name in names if name not in self.stage.hurt | self.site.down]
        if not free:
            raise NothingToDo
        chosen = self.deed.target = self.chance.choice(free)
        self.stage.hurt.add(chosen)
        try:
            yield chosen
        finally:
            self.stage.hurt.discard(chosen)

    def server(self) -> contextlib.AbstractContextManager[str]:
        return self.victim(self.site.servers)


Do = Callable[[Act], Awaitable[None]]
