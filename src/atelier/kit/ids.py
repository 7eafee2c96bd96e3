"""Ids have their own types, and new ones sort by the time they were made."""

import os
import time
import uuid
from typing import NewType

AccountId = NewType("AccountId", uuid.UUID)
KeyId = NewType("KeyId", uuid.UUID)
JobId = NewType("JobId", uuid.UUID)
AssetId = NewType("AssetId", uuid.UUID)
ServerId = NewType("ServerId", str)
DispatcherId = NewType("DispatcherId", uuid.UUID)


def new_uuid() -> uuid.UUID:
    """A version 7 UUID (RFC 9562): 48 bits of Unix milliseconds, then 74 random bits."""
    millis = time.time_ns() // 1_000_000
    rest = int.from_bytes(os.urandom(10), "big")
    value = (millis << 80) | rest
    value = (value & ~(0xF << 76)) | (7 << 76)
    value = (value & ~(0x3 << 62)) | (2 << 62)
    return uuid.UUID(int=value)


def parse_uuid(text: str) -> uuid.UUID | None:
    """The UUID that `text` spells canonically (lower case, hyphens), else None."""
    try:
        value = uuid.UUID(text)
    except ValueError:
        return None
    return value if str(value) == text else None
