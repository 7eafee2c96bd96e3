"""Object storage behind one small Protocol: bytes under keys, whole or not at all.

Keys are relative paths of lower-case letters, digits, `.`, `_`, `-` and `/`, and are made by Atelier, never by a
client.
"""

from atelier.storage.model import Body, Content, ContentMissing, Storage, StorageUnavailable
from atelier.storage.object_store import Credentials
from atelier.storage.opening import open_storage

__all__ = [
    "Body",
    "Content",
    "ContentMissing",
    "Credentials",
    "Storage",
    "StorageUnavailable",
    "open_storage",
]
