"""A session is a browser signed in with a key; it ends by signing out, by its age, and with its key."""

import datetime as dt
import secrets
from dataclasses import dataclass, field

from atelier.accounts import rules, store
from atelier.accounts.model import Caller
from atelier.kit.database import Tx

TOKEN_BYTES = 32
TOKEN_LENGTH = 43  # 32 bytes in URL-safe base64 without padding
MOST_OF_A_KEY = 200


@dataclass(frozen=True, slots=True)
class Opened:
    """A new session. Only its browser ever has the token; it opens nothing after `lifetime`."""

    token: str = field(repr=False)
    lifetime: dt.timedelta


async def open_session(tx: Tx, pepper: bytes, caller: Caller, lifetime: dt.timedelta) -> Opened:
    """A session of the key that `caller` came with; beyond MOST_OF_A_KEY the oldest one ends."""
    token = secrets.token_urlsafe(TOKEN_BYTES)
    await store.insert_session(tx, digest(pepper, token), caller.key_id, lifetime)
    await store.delete_oldest_sessions(tx, caller.key_id, MOST_OF_A_KEY)
    return Opened(token, lifetime)


async def close_session(tx: Tx, pepper: bytes, token: str) -> None:
    """From the commit on, and at most `accounts.service.CACHE_SECONDS` later everywhere, it opens nothing."""
    await store.delete_session(tx, digest(pepper, token))


async def forget_expired(tx: Tx) -> int:
    """Delete the sessions that have expired; gives how many."""
    return await store.delete_expired_sessions(tx)


def plausible(token: str) -> bool:
    """Whether this can be a token of ours at all; what cannot be costs no query."""
    return len(token) == TOKEN_LENGTH and token.isascii()


def digest(pepper: bytes, token: str) -> bytes:
    """Of the same kind as a key's, but no text is both a key and a token."""
    return rules.digest(pepper, f"session:{token}")
