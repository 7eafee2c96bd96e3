"""A stranger's server, and a client that may ask it."""

from collections.abc import AsyncGenerator

import pytest

from atelier.kit.http.outbound import Outbound
from support.strangers import LOOPBACK, Names, Site, serving


@pytest.fixture
async def site() -> AsyncGenerator[Site]:
    async with serving() as found:
        yield found


@pytest.fixture
def names() -> Names:
    made = Names()
    made.means("site.example", ["127.0.0.1"])
    return made


@pytest.fixture
def outbound(names: Names) -> Outbound:
    return Outbound(user_agent="Test/1", allowed=LOOPBACK, look_up=names)
