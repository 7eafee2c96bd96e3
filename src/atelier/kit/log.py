"""One log line is one event on standard error, for people or for programs; a secret never gets that far."""

import logging
import re
import sys
from collections.abc import Mapping, Sequence
from typing import Any, Literal, cast

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

HIDDEN = "[hidden]"
QUIET = ("aiohttp.access", "asyncio", "httpcore", "httpx", "procrastinate", "psycopg.pool", "uvicorn")
"""Other people's loggers that say at `info` what our own lines say better."""

_SECRET_NAMES = re.compile(
    r"authorization|cookie|password|pepper|secret|token|api[_-]?key|(^|[_-])key$|signature|plaintext|credential",
    re.IGNORECASE,
)
_SECRET_TEXT = re.compile(
    r"(?<=atl_)[A-Za-z0-9_-]{20,}"
    r"|(?i:(?<=bearer )[^\s\"',;]+)"
    r"|(?<=://)[^/\s:@]*:[^/\s@]+(?=@)"
    r"|(?i:(?<=password=)[^\s&]+)"
    r"|(?i:(?<=signature=)[^\s&\"']+)"
    r"|(?i:(?<=token=)[^\s&\"']+)"
    r"|(?i:(?<=session=)[^\s;\"']+)"
    r"|(?i:(?<=basic )[A-Za-z0-9+/=_-]{16,})"
    r"|(?i:(?<=authorization: key )[^\s\"',;]+)"
    r"|(?i:(?<=x-api-key: )[^\s\"',;]+)"
    r"|(?<=/k/)[^/\s\"'?#]+"
)


def configure(level: str = "info", form: Literal["console", "json"] = "console") -> None:
    """Send everything, also what libraries log, to standard error in one form. May be called again."""
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
    ]
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(foreign_pre_chain=shared, processors=_last_steps(form))
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for name in QUIET:
        logging.getLogger(name).setLevel(max(logging.WARNING, root.level))


def redact(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """The same event without secrets: by the name of a field, and by the look of its text."""
    return {name: _clean(name, value) for name, value in event.items()}


def _last_steps(form: Literal["console", "json"]) -> list[Processor]:
    head: list[Processor] = [
        structlog.stdlib.ProcessorFormatter.remove_processors_meta,
        structlog.processors.format_exc_info,
        redact,
    ]
    if form == "json":
        return [*head, structlog.processors.JSONRenderer(default=str)]
    return [*head, structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())]


def _clean(name: str, value: Any) -> Any:
    if value and _SECRET_NAMES.search(name):
        return HIDDEN
    match value:
        case str():
            return _SECRET_TEXT.sub(HIDDEN, value)
        case Mapping():
            inner = cast("Mapping[object, Any]", value)
            return {str(key): _clean(str(key), each) for key, each in inner.items()}
        case list() | tuple():
            return [_clean("", each) for each in cast("Sequence[Any]", value)]
        case _:
            return value
