"""A file that a person keeps in the editor, and why one cannot be kept; values only."""

import datetime as dt
from dataclasses import dataclass
from typing import ClassVar

from atelier.kit.errors import Kind, NotFound, Refusal
from atelier.kit.ids import AssetId


@dataclass(frozen=True, slots=True)
class UserFile:
    """`path` is plain: `workflows/a.json`, no dots, no slashes around. `size` in bytes."""

    path: str
    asset_id: AssetId
    size: int
    created_at: dt.datetime
    modified_at: dt.datetime

    @property
    def name(self) -> str:
        return self.path.rpartition("/")[2]


class NoSuchFile(NotFound):
    """The account has no file of that path."""


class FileExists(Refusal):
    """There is one already, and it was not to be overwritten."""

    kind: ClassVar[Kind] = Kind.CONFLICT
    code: ClassVar[str] = "file_exists"


class BadPath(Refusal):
    """A path that no file can have."""

    code: ClassVar[str] = "invalid_path"


class PathLeadsOut(Refusal):
    """A path to another place than the account's own files."""

    kind: ClassVar[Kind] = Kind.FORBIDDEN
    code: ClassVar[str] = "invalid_path"


class TooMuchKept(Refusal):
    """The account keeps as many files or settings as it may."""

    kind: ClassVar[Kind] = Kind.UNPROCESSABLE
    code: ClassVar[str] = "too_much_kept"
