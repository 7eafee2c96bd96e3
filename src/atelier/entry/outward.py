"""Every process asks what clients name in the same way, under the same name."""

from importlib.metadata import version

from atelier.entry.settings import Settings
from atelier.kit.http.outbound import Outbound
from atelier.kit.http.public_addresses import parse_networks


def outbound_of(settings: Settings) -> Outbound:
    """Who asks what clients name by its address."""
    return Outbound(user_agent=f"Atelier/{version('atelier')}", allowed=parse_networks(settings.outbound_allow))
