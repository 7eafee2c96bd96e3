"""Accounts come and go, keys are shown once and proven by a digest, and a hot request costs no query."""

import datetime as dt
from collections.abc import Awaitable, Callable, Collection, Sequence

from atelier.accounts import rules, sessions, store
from atelier.accounts.model import (
    DEFAULT_PRIORITY,
    HIGHEST_PRIORITY,
    Account,
    AccountExists,
    ApiKey,
    Caller,
    Role,
    Unauthorized,
)
from atelier.kit import clock
from atelier.kit.database import Database, Tx
from atelier.kit.errors import NotFound, Refusal
from atelier.kit.ids import AccountId, KeyId, new_uuid

CACHE_SECONDS = 5.0
CACHE_SIZE = 10_000
MOST_WEIGHT = 1000
MOST_RUNNING = 1_000_000
LAST_USE_RESTS = dt.timedelta(minutes=1)

Look = Callable[[Tx, bytes, dt.timedelta], Awaitable[store.FoundKey | None]]
"""One question of the store: whom a digest stands for."""


async def create_account(tx: Tx, name: str) -> Account:
    """A new account. Refuses an empty name and one that is taken."""
    _check(name)
    account = await store.insert_account(tx, AccountId(new_uuid()), name)
    if account is None:
        raise AccountExists(f"there is an account named {name!r} already")
    return account


async def list_accounts(tx: Tx) -> Sequence[Account]:
    """All accounts, by name."""
    return await store.accounts(tx)


async def ensure_account(tx: Tx, name: str) -> Account:
    """The account of that name, made now if there was none; several may ask at once. Refuses an empty name."""
    _check(name)
    made = await store.insert_account(tx, AccountId(new_uuid()), name)
    found = made or await store.account_named(tx, name)
    if found is None:
        raise NotFound(f"the account named {name!r} vanished while it was looked for")
    return found


async def accounts_by_id(tx: Tx, ids: Collection[AccountId]) -> dict[AccountId, Account]:
    """Those of them that there are."""
    return await store.accounts_by_id(tx, ids)


async def set_part(tx: Tx, account: Account, *, weight: float, max_running: int | None) -> Account:
    """Give it this part of the fleet: from its next job on. Refuses a weight that is none."""
    if not 0 < weight <= MOST_WEIGHT:
        raise Refusal(f"a weight is more than 0 and at most {MOST_WEIGHT}; 1 is everybody's")
    if max_running is not None and not 0 <= max_running <= MOST_RUNNING:
        raise Refusal(f"a running limit is from 0 (no limit) to {MOST_RUNNING}")
    changed = await store.set_part(tx, account.id, weight, max_running)
    if changed is None:
        raise NotFound(f"there is no account {account.id}")
    return changed


async def create_key(
    tx: Tx,
    pepper: bytes,
    account_id: AccountId,
    role: Role,
    label: str = "",
    *,
    max_priority: int = DEFAULT_PRIORITY,
    on_behalf: bool = False,
) -> tuple[ApiKey, str]:
    """A new key and its plain text, which nobody can show a second time. Refuses a class that is none."""
    if not 1 <= max_priority <= HIGHEST_PRIORITY:
        raise Refusal(f"a class is from 1 to {HIGHEST_PRIORITY}; {HIGHEST_PRIORITY} runs first")
    if await store.account_by_id(tx, account_id) is None:
        raise NotFound(f"there is no account {account_id}")
    plaintext = rules.mint()
    key = ApiKey(
        id=KeyId(new_uuid()),
        account_id=account_id,
        role=role,
        label=label,
        prefix=rules.visible_prefix(plaintext),
        created_at=clock.utcnow(),
        last_used_at=None,
        revoked_at=None,
        max_priority=max_priority,
        on_behalf=on_behalf,
    )
    return await store.insert_key(tx, key, rules.digest(pepper, plaintext)), plaintext


async def list_keys(tx: Tx, account_id: AccountId | None = None) -> Sequence[ApiKey]:
    """All keys of one account, or of every account: oldest first, revoked ones too."""
    return await store.keys(tx, account_id)


async def revoke_key(tx: Tx, key_id: KeyId) -> ApiKey:
    """From the commit on, and at most `CACHE_SECONDS` later everywhere, the key opens nothing."""
    key = await store.revoke(tx, key_id)
    if key is None:
        raise NotFound(f"there is no key {key_id}")
    return key


async def authenticate(database: Database, pepper: bytes, plaintext: str) -> Caller:
    """Whose key that is, asked of the database. Raises Unauthorized. Its use is written down once a minute."""
    return await Authenticator(database, pepper, remember_for=0).authenticate(plaintext)


class Authenticator:
    """`authenticate` and sessions with a memory of a few seconds, for a process that serves requests.

    Only what opens something is remembered, by its digest: a revoked key and a closed session live on for
    `remember_for` seconds at most, and new ones work at once.
    """

    def __init__(
        self,
        database: Database,
        pepper: bytes,
        *,
        remember_for: float = CACHE_SECONDS,
        most: int = CACHE_SIZE,
    ) -> None:
        self._database = database
        self._pepper = pepper
        self._remember_for = remember_for
        self._most = most
        self._known: dict[bytes, tuple[float, Caller]] = {}

    async def authenticate(self, plaintext: str) -> Caller:
        """Whose key that is. Raises Unauthorized."""
        if not rules.plausible(plaintext):
            raise Unauthorized("this is not an API key of this service: one begins with 'atl_'")
        caller = await self._known_or(store.live_key, rules.digest(self._pepper, plaintext))
        if caller is None:
            raise Unauthorized(
                "this API key is unknown or revoked: an operator makes another with 'atelier keys create'"
            )
        return caller

    async def session(self, token: str) -> Caller:
        """Who signed in. Raises Unauthorized when the session, or the key that it was opened with, has ended."""
        found = sessions.plausible(token) and await self._known_or(
            store.live_session, sessions.digest(self._pepper, token)
        )
        if not found:
            raise Unauthorized("this browser is not signed in, or not any more")
        return found

    async def sign_in(self, plaintext: str, lifetime: dt.timedelta) -> sessions.Opened:
        """A new session of this key. Raises Unauthorized."""
        caller = await self.authenticate(plaintext)
        async with self._database.transaction() as tx:
            return await sessions.open_session(tx, self._pepper, caller, lifetime)

    async def sign_out(self, token: str) -> None:
        """End the session, if it is one; this process knows at once."""
        self._known.pop(sessions.digest(self._pepper, token), None)
        async with self._database.transaction() as tx:
            await sessions.close_session(tx, self._pepper, token)
        self._known.pop(sessions.digest(self._pepper, token), None)

    async def _known_or(self, look: Look, digest: bytes) -> Caller | None:
        until, caller = self._known.get(digest, (0.0, None))
        asked_at = clock.monotonic()
        if caller is not None and asked_at < until:
            return caller
        self._known.pop(digest, None)
        async with self._database.autocommit() as tx:
            caller = await _used(tx, look, digest)
        if caller is not None:
            self._remember(digest, asked_at + self._remember_for, caller)
        return caller

    def _remember(self, digest: bytes, until: float, caller: Caller) -> None:
        if len(self._known) >= self._most:
            del self._known[next(iter(self._known))]
        self._known[digest] = (until, caller)


async def _used(tx: Tx, look: Look, digest: bytes) -> Caller | None:
    """Whom the digest stands for; the use of the key is written down once a minute."""
    found = await look(tx, digest, LAST_USE_RESTS)
    if found is None:
        return None
    if found.stale:
        await store.touch(tx, found.caller.key_id)
    return found.caller


def _check(name: str) -> None:
    if not name.strip() or not name.isprintable():
        raise Refusal("an account needs a name of printable characters")
