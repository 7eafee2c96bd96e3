"""What the dialects stand on comes to them as one value; nothing is global, nothing reads the environment."""

import asyncio
from dataclasses import dataclass, field

from atelier.accounts.service import Authenticator
from atelier.dialects.links import LinkSigner
from atelier.intake.service import Intake
from atelier.jobs.outlook import Outlook
from atelier.kit.database import Database
from atelier.kit.http.sse import StreamSlots
from atelier.kit.wakeups import Wakeups
from atelier.storage.model import Storage

MEGABYTE = 1_000_000


@dataclass(frozen=True, slots=True)
class Services:
    """Limits in bytes, `keepalive` (of a quiet event stream) in seconds.

    `public_url` is the address that clients use, where it is not the one that requests bear.

    `closing` ends the open event streams when the process is told to stop.
    """

    database: Database
    wakeups: Wakeups
    storage: Storage
    intake: Intake
    authenticator: Authenticator
    links: LinkSigner
    public_url: str | None = None
    cors_origins: tuple[str, ...] = ()
    json_limit: int = 20 * MEGABYTE
    upload_limit: int = 2_000 * MEGABYTE
    keepalive: float = 10.0
    outlook: Outlook = field(default_factory=Outlook)
    streams: StreamSlots = field(default_factory=lambda: StreamSlots(per_owner=256))
    closing: asyncio.Event = field(default_factory=asyncio.Event)
