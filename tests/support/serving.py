"""An app on a real port in the test's own loop, and accounts with keys to ask it."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass

import uvicorn
from starlette.types import ASGIApp

from atelier.accounts import service as accounts
from atelier.accounts.model import Role
from atelier.kit.database import Database
from atelier.kit.ids import AccountId

PEPPER = b"pepper"


@dataclass(frozen=True)
class Tenant:
    account_id: AccountId
    key: str

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.key}"}


async def make_tenant(
    database: Database, name: str, role: Role = Role.MEMBER, *, max_priority: int = 5, on_behalf: bool = False
) -> Tenant:
    """An account of that name and a new key of it, under PEPPER."""
    async with database.transaction() as tx:
        account = await accounts.ensure_account(tx, name)
        _, key = await accounts.create_key(
            tx, PEPPER, account.id, role, "test", max_priority=max_priority, on_behalf=on_behalf
        )
    return Tenant(account.id, key)


async def eventually(true: Callable[[], Awaitable[bool]]) -> None:
    """Wait until it is true, 10 s at most."""
    async with asyncio.timeout(10):
        while not await true():  # noqa: ASYNC110 - the condition lies outside of this process
            await asyncio.sleep(0.01)


@contextlib.asynccontextmanager
async def served(app: ASGIApp) -> AsyncGenerator[str]:
    """The base URL of `app` while it is served on a free port."""
    # With its protocol named, asyncio sends every answer at once; otherwise each waits 40 ms for the one before.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.bind(("127.0.0.1", 0))
    listener.listen(128)
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", lifespan="off", timeout_graceful_shutdown=2))
    async with asyncio.TaskGroup() as group:
        task = group.create_task(server.serve(sockets=[listener]))
        async with asyncio.timeout(10):
            while not server.started:  # noqa: ASYNC110 - uvicorn says it in no other way
                await asyncio.sleep(0.005)
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            await task
