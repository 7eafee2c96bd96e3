"""Background and periodic tasks: deferred in the caller's transaction, run at least once, one at a time per key.

Procrastinate runs them. Three of its promises are kept by us: the tasks of a dead worker are taken over, only the
holder of a task ends it, and a worker outlives a PostgreSQL that is away for seconds.
"""

from atelier.tasks.model import Rhythm
from atelier.tasks.schema import prepare
from atelier.tasks.service import Tasks
from atelier.tasks.store import TOPIC, defer

__all__ = ["TOPIC", "Rhythm", "Tasks", "defer", "prepare"]
