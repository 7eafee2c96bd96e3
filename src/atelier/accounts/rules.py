"""A key is 256 random bits that only its holder knows; what is stored proves it without revealing it."""

import hashlib
import hmac
import secrets

KEY_PREFIX = "atl_"
KEY_LENGTH = len(KEY_PREFIX) + 43  # 32 bytes in URL-safe base64 without padding
VISIBLE = len(KEY_PREFIX) + 8


def mint() -> str:
    """A new key in plain text: `atl_` and 43 URL-safe characters."""
    return KEY_PREFIX + secrets.token_urlsafe(32)


def visible_prefix(plaintext: str) -> str:
    """What lists and logs may show of a key: 48 of its 256 bits."""
    return plaintext[:VISIBLE]


def digest(pepper: bytes, plaintext: str) -> bytes:
    """HMAC-SHA256 under the installation's pepper: a stolen table is worth nothing without it."""
    return hmac.digest(pepper, plaintext.encode("utf-8", "surrogatepass"), hashlib.sha256)


def plausible(plaintext: str) -> bool:
    """Whether this can be one of our keys at all; what cannot be costs no query."""
    return len(plaintext) == KEY_LENGTH and plaintext.startswith(KEY_PREFIX) and plaintext.isascii()
