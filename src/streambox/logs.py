"""Structured logs on standard error; nothing per request."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import sys
from typing import TYPE_CHECKING, Final, TextIO, cast

import structlog

if TYPE_CHECKING:
    from streambox.config import LogSection

_STDERR: Final = 2


def configure_logs(section: LogSection) -> None:
    """Called once by the command line; a library user configures structlog as they like."""
    level = logging.getLevelNamesMapping()[section.level.upper()]
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    if section.format == "json":
        tail: list[structlog.typing.Processor] = [
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ]
    else:
        # Not the default on a terminal, which shows local variables: a key may be among them.
        plain = structlog.dev.plain_traceback
        tail = [structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=plain)]
    structlog.configure(
        processors=[*shared, *tail],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(cast("TextIO", _Unfailing())),
        cache_logger_on_first_use=True,
    )
    logging.basicConfig(handlers=[_Bridge()], level=logging.WARNING, force=True)


class _Unfailing(io.TextIOBase):
    """
    Standard error, where a line that cannot be written is dropped.

    Its reader may have gone, its disk may be full: whoever logs in the middle of something
    is not to be interrupted by that.
    """

    def write(self, line: str) -> int:
        rest = memoryview(line.encode("utf-8", "backslashreplace"))
        with contextlib.suppress(OSError):
            while rest:
                rest = rest[os.write(_STDERR, rest) :]
        return len(line)


class _Bridge(logging.Handler):
    """What libraries log by the standard library's means (uvicorn, asyncio) looks like the rest."""

    def emit(self, record: logging.LogRecord) -> None:
        logger = structlog.get_logger(record.name)
        logger.log(record.levelno, record.getMessage(), exc_info=record.exc_info)
