"""What the dialects stand on comes to them as one value; nothing is global, nothing reads the environment."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field

from atelier.accounts.service import Authenticator
from atelier.assets.pictures.thumbnails import Thumbnails
from atelier.dialects.comfyui.hub import Hub
from atelier.dialects.comfyui.pictures import Pictures
from atelier.dialects.comfyui.reach import Reach
from atelier.dialects.comfyui.shelf import Shelf
from atelier.dialects.links import LinkSigner
from atelier.intake.generation import Generation, House
from atelier.intake.inputs import Fetches, Inputs
from atelier.intake.results import Policy as ResultPolicy
from atelier.intake.results import Results
from atelier.intake.service import Intake
from atelier.jobs.outlook import Outlook
from atelier.jobs.queue import QueueFigures
from atelier.jobs.relay import Relay
from atelier.kit.database import Database
from atelier.kit.http.outbound import Outbound
from atelier.kit.http.patience import Patience
from atelier.kit.http.sse import StreamSlots
from atelier.kit.wakeups import Wakeups
from atelier.storage.model import Storage
from atelier.workflows.readiness import Readiness
from atelier.workflows.registry import Registry

MEGABYTE = 1_000_000


@dataclass(frozen=True, slots=True)
class Limits:
    """What the settings allow, for those who ask why jobs wait; 0: no limit."""

    max_queued: int = 0
    max_queued_per_account: int = 0
    max_running: int = 0
    max_running_per_account: int = 0
    server_jobs_per_minute: int = 0


@dataclass(frozen=True, slots=True)
class Services:
    """Limits in bytes, `keepalive` (of a quiet event stream) and `session_lifetime` in seconds.

    `asked_anew`: every so many seconds it is asked whether the key of an open socket or stream is still good.

    `public_url` is the address that clients use, where it is not the one that requests bear.

    `reach` None: no server is asked anything on behalf of clients. `custom_routes`: whether routes that only packs
    of servers have are passed on to one of them.

    `outbound` asks what clients name by its address.

    `house` is what the installation says of deliveries and limits of runs, `results` whose are given again.
    `defaults`: the workflow that does what a category is asked for, by category.

    `closing` ends the open event streams when the process is told to stop.
    """

    database: Database
    wakeups: Wakeups
    relay: Relay
    storage: Storage
    intake: Intake
    authenticator: Authenticator
    links: LinkSigner
    registry: Registry
    readiness: Readiness = field(default_factory=Readiness)
    public_url: str | None = None
    cors_origins: tuple[str, ...] = ()
    json_limit: int = 20 * MEGABYTE
    upload_limit: int = 2_000 * MEGABYTE
    keepalive: float = 10.0
    outlook: Outlook = field(default_factory=Outlook)
    figures: QueueFigures = field(default_factory=QueueFigures)
    limits: Limits = field(default_factory=Limits)
    streams: StreamSlots = field(default_factory=lambda: StreamSlots(per_owner=256))
    long_lists: StreamSlots = field(default_factory=lambda: StreamSlots(per_owner=8))
    shelf: Shelf = field(default_factory=Shelf)
    reach: Reach | None = None
    outbound: Outbound = field(default_factory=lambda: Outbound(user_agent="Atelier"))
    fetches: Fetches = field(default_factory=Fetches)
    house: House = field(default_factory=House)
    results: ResultPolicy = field(default_factory=ResultPolicy)
    defaults: Mapping[str, str] = field(default_factory=dict[str, str])
    max_batch_items: int = 1000
    custom_routes: bool = False
    hub: Hub = field(default_factory=Hub)
    pictures: Pictures = field(default_factory=Pictures)
    thumbnails: Thumbnails = field(default_factory=Thumbnails)
    closing: asyncio.Event = field(default_factory=asyncio.Event)
    sign_ins: Patience = field(default_factory=Patience)
    asked_anew: float = 5.0
    session_lifetime: float = 30 * 86_400.0
    user_file_limit: int = 50 * MEGABYTE
    user_files_most: int = 10_000

    @property
    def generation(self) -> Generation:
        """The way in for whoever asks for a workflow by its parameters."""
        inputs = Inputs(
            self.database, self.storage, self.outbound, self.upload_limit, self.intake.retention, self.fetches
        )
        results = Results(self.intake, self.storage, self.results)
        models = self.readiness.models(self.intake.fleet)
        return Generation(self.intake, self.registry, inputs, results, models, self.house)
