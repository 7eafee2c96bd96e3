"""What happens by the clock: expiry, retention, partitions, collection of bytes that nobody names any more."""

import contextlib
from collections.abc import AsyncGenerator

from atelier.entry.roles import Foundation


@contextlib.asynccontextmanager
async def running(ground: Foundation) -> AsyncGenerator[None]:
    yield
