"""What this server can do is said in one place: to sockets, and to who asks for /features (wire contract 7.3)."""

from collections.abc import Mapping
from typing import Any

from atelier.dialects.services import Services


def server_flags(services: Services) -> Mapping[str, Any]:
    """The flags that sockets are answered with and that /features gives.

    `supports_progress_text_metadata`: text frames are laid out anew for each socket (wire contract 8).
    """
    return {
        "supports_preview_metadata": True,
        "supports_progress_text_metadata": True,
        "max_upload_size": services.upload_limit,
        "node_replacements": True,
        "assets": False,
    }
