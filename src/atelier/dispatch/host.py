"""What an attempt sees of the server that it runs on."""

from typing import TYPE_CHECKING, Protocol

from atelier.comfy.client import ComfyClient
from atelier.dispatch.model import DispatchSettings
from atelier.dispatch.placing import Placer
from atelier.dispatch.quarantine import Quarantine
from atelier.dispatch.telemetry import Telemetry
from atelier.fleet.inventory import Inventory
from atelier.fleet.model import Server
from atelier.jobs.relay import Relay

if TYPE_CHECKING:
    from atelier.dispatch.attempt import Attempt


class Host(Protocol):
    """One leased server while it is driven."""

    client: ComfyClient
    client_id: str
    placer: Placer
    telemetry: Telemetry
    relay: Relay
    settings: DispatchSettings
    quarantine: Quarantine
    server: Server
    heard_at: float
    """When the socket said anything last, by the monotonic clock."""

    @property
    def epoch(self) -> int:
        """Counts the socket's connections."""
        ...

    @property
    def inventory(self) -> Inventory | None:
        """What the server can run, once it has told."""
        ...

    @property
    def hears(self) -> bool:
        """False while there is no socket: then asking is the only way to know."""
        ...

    @property
    def lost(self) -> bool:
        """The server has not answered anything for longer than it may."""
        ...

    def trouble(self, reason: str) -> None:
        """A request to the server failed."""
        ...

    def well(self) -> None:
        """A request to the server was answered."""
        ...

    async def lacks(self, requirement_id: int) -> bool:
        """Whether the server, asked anew, lacks something of this requirement set. Raises ComfyError."""
        ...

    def started(self, attempt: "Attempt") -> None:
        """The server began this attempt's prompt."""
        ...

    def let_go(self, attempt: "Attempt") -> None:
        """The server is done with this attempt's prompt: it may have another."""
        ...
