"""The registry of an API process: filled before anything is asked of it, and kept as folders and tables are."""

import contextlib
from collections.abc import AsyncGenerator
from pathlib import Path

import structlog

from atelier.entry.settings import Settings
from atelier.kit.background import background
from atelier.kit.database import Database
from atelier.kit.wakeups import Wakeups
from atelier.workflows.folders import Folders
from atelier.workflows.model import Fault
from atelier.workflows.registry import Registry

USUAL = Path("workflows")
"""Beside where Atelier was started, unless the setting names another."""

_log = structlog.get_logger(__name__)


@contextlib.asynccontextmanager
async def kept(
    registry: Registry, settings: Settings, database: Database, wakeups: Wakeups
) -> AsyncGenerator[None]:
    """The folders are in the tables and the tables in memory, for as long as the context is open."""
    own = (settings.workflows_dir or USUAL).expanduser().absolute()
    folders = Folders(database, wakeups, registry.faults, own, settings.workflow_files)
    if settings.workflows_dir and not own.is_dir():
        registry.faults[own.name] = (Fault("ATELIER_WORKFLOWS_DIR", f"{own} is no folder"),)
        _log.warning("workflows.no_folder", folder=str(own))
    await folders.sync()
    await registry.refresh()
    async with background() as tasks:
        tasks.start(registry.run())
        tasks.start(folders.run())
        yield
