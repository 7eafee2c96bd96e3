"""Who may ask: accounts, their keys, and the caller that a request turns out to be; values only."""

import dataclasses
import datetime as dt
import enum
from dataclasses import dataclass
from typing import ClassVar

from atelier.kit.errors import Kind, Refusal
from atelier.kit.ids import AccountId, KeyId

DEFAULT_PRIORITY = 5
"""The class of a job whose client says nothing, and the highest that a key reaches unless it is made otherwise."""

HIGHEST_PRIORITY = 10


class Role(enum.StrEnum):
    """An admin's key reaches what belongs to the installation; a member's only what is its account's."""

    ADMIN = "admin"
    MEMBER = "member"


@dataclass(frozen=True, slots=True)
class Account:
    """A tenant: a person or an application. Names are unique.

    `weight` is its part of the fleet beside others' 1; `max_running` (jobs at once) None: the setting's.
    """

    id: AccountId
    name: str
    created_at: dt.datetime
    weight: float = 1.0
    max_running: int | None = None


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key as it may be shown: `prefix` is the visible beginning, the rest is known to its holder alone.

    `max_priority` is the highest class that it reaches; `on_behalf`: it may ask for end users behind its account.
    """

    id: KeyId
    account_id: AccountId
    role: Role
    label: str
    prefix: str
    created_at: dt.datetime
    last_used_at: dt.datetime | None
    revoked_at: dt.datetime | None
    max_priority: int = DEFAULT_PRIORITY
    on_behalf: bool = False


@dataclass(frozen=True, slots=True)
class Caller:
    """Who is asking now: an account through one of its keys, possibly on behalf of an end user.

    `max_priority` is the highest class (1-10) that its jobs may have.
    """

    account_id: AccountId
    key_id: KeyId
    role: Role
    end_user: str = ""
    max_priority: int = DEFAULT_PRIORITY
    on_behalf: bool = False

    def speaking_for(self, end_user: str) -> "Caller":
        """The same caller on behalf of one of its end users.

        Raises Forbidden for a key that was not made for that: names are invented easily, and each has its share.
        """
        if not (self.on_behalf or self.role is Role.ADMIN):
            raise Forbidden("this key may not ask on behalf of others: atelier keys create --on-behalf makes one")
        return dataclasses.replace(self, end_user=end_user)


class Unauthorized(Refusal):
    """The key is missing, wrong or revoked; which of these it is stays untold."""

    kind: ClassVar[Kind] = Kind.UNAUTHORIZED
    code: ClassVar[str] = "unauthorized"


class Forbidden(Refusal):
    """The key is good, but its role does not reach that far."""

    kind: ClassVar[Kind] = Kind.FORBIDDEN
    code: ClassVar[str] = "forbidden"


class AccountExists(Refusal):
    """The name is taken by another account."""

    kind: ClassVar[Kind] = Kind.CONFLICT
    code: ClassVar[str] = "account_exists"
