"""Structured logs on stdout: an event phrase and fields, never a prompt, an answer, a key or a token.

INFO is one line per unit of work per process; WARNING is degraded and handled; ERROR is for a person, and is in Sentry
too. Each line carries the trace id of the work it belongs to.
"""

import logging
import sys
import traceback
from collections.abc import Iterable, MutableMapping
from pathlib import Path
from typing import Any, Literal

import structlog

from wire.telemetry.spans import current_trace_id

QUIET_LOGGERS = (
    "httpx",
    "httpcore",
    "httpx2",
    "httpcore2",
    "openai",
    "asyncio",
    "arq",
    "uvicorn.access",
    "alembic",
)
SHOWN_FRAMES = 4


def configure_logging(process: str, *, style: Literal["console", "json"], level: str) -> None:
    """From here on every logger of this process, library ones included, writes one line an event to stdout."""
    shared: list[structlog.types.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _add_trace_id,
    ]
    end: list[structlog.types.Processor]
    if style == "json":
        shared.append(_process_name(process))
        end = [structlog.processors.JSONRenderer()]
    else:
        end = [structlog.dev.ConsoleRenderer(colors=False, pad_event_to=32, sort_keys=False)]
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=shared,
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, _error_without_its_words, *end],
    )
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level.upper())
    _quieten(QUIET_LOGGERS)
    logging.getLogger("arq.worker").addFilter(_has_no_traceback)
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )


def get_logger(name: str) -> structlog.stdlib.BoundLogger:
    return structlog.stdlib.get_logger(name)


def _quieten(names: Iterable[str]) -> None:
    for name in names:
        logging.getLogger(name).setLevel(logging.WARNING)


def _has_no_traceback(record: logging.LogRecord) -> bool:
    """Of a failed job `queue_worker` writes a line; arq's would quote the error's message, whatever that holds."""
    return record.exc_info is None


def _error_without_its_words(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """An exception is told by its type and place: its message, and those of its causes, may quote anything."""
    info: Any = event.pop("exc_info", None)
    if info is True:
        info = sys.exc_info()
    error: Any = info[1] if isinstance(info, tuple) else info
    if isinstance(error, BaseException):
        frames = traceback.extract_tb(error.__traceback__)[-SHOWN_FRAMES:]
        event["error"] = type(error).__name__
        event["at"] = " > ".join(f"{Path(f.filename).name}:{f.lineno} {f.name}" for f in frames)
    return event


def _add_trace_id(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    trace_id = current_trace_id()
    if trace_id is not None:
        event.setdefault("trace_id", trace_id)
    return event


def _process_name(process: str) -> structlog.types.Processor:
    def add(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        event["process"] = process
        return event

    return add
