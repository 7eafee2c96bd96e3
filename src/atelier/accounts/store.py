"""Accounts and keys in PostgreSQL: one statement per function, a dataclass back."""

import datetime as dt
import uuid
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from atelier.accounts.model import Account, ApiKey, Caller, Role
from atelier.kit.database import Tx
from atelier.kit.ids import AccountId, KeyId


@dataclass(frozen=True, slots=True)
class FoundKey:
    """A live key by its digest. `stale` says that its last use has not been written down for a while."""

    caller: Caller
    stale: bool


async def insert_account(tx: Tx, account_id: AccountId, name: str) -> Account | None:
    """The new account, or None when the name is taken."""
    cursor = await tx.execute(
        "INSERT INTO accounts (id, name) VALUES (%s, %s) ON CONFLICT (name) DO NOTHING"
        " RETURNING id, name, created_at, weight, max_running",
        (account_id, name),
    )
    row = await cursor.fetchone()
    return _account(row) if row else None


async def account_named(tx: Tx, name: str) -> Account | None:
    cursor = await tx.execute(
        "SELECT id, name, created_at, weight, max_running FROM accounts WHERE name = %s", (name,)
    )
    row = await cursor.fetchone()
    return _account(row) if row else None


async def accounts(tx: Tx) -> Sequence[Account]:
    """All of them, by name."""
    cursor = await tx.execute("SELECT id, name, created_at, weight, max_running FROM accounts ORDER BY name")
    return [_account(row) for row in await cursor.fetchall()]


async def account_by_id(tx: Tx, account_id: AccountId) -> Account | None:
    cursor = await tx.execute(
        "SELECT id, name, created_at, weight, max_running FROM accounts WHERE id = %s", (account_id,)
    )
    row = await cursor.fetchone()
    return _account(row) if row else None


async def accounts_by_id(tx: Tx, ids: Collection[AccountId]) -> dict[AccountId, Account]:
    cursor = await tx.execute(
        "SELECT id, name, created_at, weight, max_running FROM accounts WHERE id = ANY(%s)", (list(ids),)
    )
    found = [_account(row) for row in await cursor.fetchall()]
    return {account.id: account for account in found}


async def set_part(tx: Tx, account_id: AccountId, weight: float, max_running: int | None) -> Account | None:
    """The account with its new part of the fleet; None when there is none."""
    cursor = await tx.execute(
        "UPDATE accounts SET weight = %s, max_running = %s WHERE id = %s"
        " RETURNING id, name, created_at, weight, max_running",
        (weight, max_running, account_id),
    )
    row = await cursor.fetchone()
    return _account(row) if row else None


async def insert_key(tx: Tx, key: ApiKey, digest: bytes) -> ApiKey:
    """The key as stored; its times come from the database's clock."""
    cursor = await tx.execute(
        "INSERT INTO api_keys (id, account_id, role, label, prefix, digest, max_priority, on_behalf)"
        " VALUES (%s, %s, %s, %s, %s, %s, %s, %s)"
        " RETURNING id, account_id, role, label, prefix, created_at, last_used_at, revoked_at,"
        " max_priority, on_behalf",
        (
            key.id,
            key.account_id,
            key.role,
            key.label,
            key.prefix,
            digest,
            key.max_priority,
            key.on_behalf,
        ),
    )
    [row] = await cursor.fetchall()
    return _key(row)


async def keys(tx: Tx, account_id: AccountId | None) -> Sequence[ApiKey]:
    """Oldest first, revoked ones too; of one account, or of all."""
    cursor = await tx.execute(
        "SELECT id, account_id, role, label, prefix, created_at, last_used_at, revoked_at, max_priority, on_behalf"
        " FROM api_keys WHERE account_id = coalesce(%s::uuid, account_id) ORDER BY created_at, id",
        (account_id,),
    )
    return [_key(row) for row in await cursor.fetchall()]


async def revoke(tx: Tx, key_id: KeyId) -> ApiKey | None:
    """The key, revoked now or earlier (the first time stays); None when there is none."""
    cursor = await tx.execute(
        "UPDATE api_keys SET revoked_at = coalesce(revoked_at, now()) WHERE id = %s"
        " RETURNING id, account_id, role, label, prefix, created_at, last_used_at, revoked_at,"
        " max_priority, on_behalf",
        (key_id,),
    )
    row = await cursor.fetchone()
    return _key(row) if row else None


async def live_key(tx: Tx, digest: bytes, rest: dt.timedelta) -> FoundKey | None:
    """Whose key that is, unless it is revoked. It is stale when its last written use is older than `rest`."""
    cursor = await tx.execute(
        "SELECT account_id, id, role, max_priority, on_behalf, coalesce(last_used_at < now() - %s, true)"
        " FROM api_keys WHERE digest = %s AND revoked_at IS NULL",
        (rest, digest),
    )
    row = await cursor.fetchone()
    return _found(row) if row else None


async def insert_session(tx: Tx, digest: bytes, key_id: KeyId, lifetime: dt.timedelta) -> None:
    await tx.execute(
        "INSERT INTO sessions (digest, key_id, expires_at) VALUES (%s, %s, now() + %s)", (digest, key_id, lifetime)
    )


async def delete_oldest_sessions(tx: Tx, key_id: KeyId, keep: int) -> None:
    await tx.execute(
        "DELETE FROM sessions WHERE digest IN"
        " (SELECT digest FROM sessions WHERE key_id = %s ORDER BY created_at DESC OFFSET %s)",
        (key_id, keep),
    )


async def live_session(tx: Tx, digest: bytes, rest: dt.timedelta) -> FoundKey | None:
    """The key that the session was opened with, unless either has ended. Stale as in `live_key`."""
    cursor = await tx.execute(
        "SELECT k.account_id, k.id, k.role, k.max_priority, k.on_behalf,"
        " coalesce(k.last_used_at < now() - %s, true)"
        " FROM sessions s JOIN api_keys k ON k.id = s.key_id"
        " WHERE s.digest = %s AND s.expires_at > now() AND k.revoked_at IS NULL",
        (rest, digest),
    )
    row = await cursor.fetchone()
    return _found(row) if row else None


async def delete_session(tx: Tx, digest: bytes) -> None:
    await tx.execute("DELETE FROM sessions WHERE digest = %s", (digest,))


async def delete_expired_sessions(tx: Tx) -> int:
    return (await tx.execute("DELETE FROM sessions WHERE expires_at < now()")).rowcount


async def touch(tx: Tx, key_id: uuid.UUID) -> None:
    """Write down that the key was used; whoever comes second does not wait for the first."""
    await tx.execute(
        "UPDATE api_keys SET last_used_at = now()"
        " WHERE id = (SELECT id FROM api_keys WHERE id = %s FOR UPDATE SKIP LOCKED)",
        (key_id,),
    )


def _found(row: tuple[Any, ...]) -> FoundKey:
    account_id, key_id, role, max_priority, on_behalf, stale = row
    caller = Caller(
        AccountId(account_id), KeyId(key_id), Role(role), max_priority=max_priority, on_behalf=on_behalf
    )
    return FoundKey(caller, stale=stale)


def _account(row: tuple[Any, ...]) -> Account:
    account_id, *rest = row
    return Account(AccountId(account_id), *rest)


def _key(row: tuple[Any, ...]) -> ApiKey:
    key_id, account_id, role, *rest = row
    return ApiKey(KeyId(key_id), AccountId(account_id), Role(role), *rest)
