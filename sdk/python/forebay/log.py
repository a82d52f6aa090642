"""Lines for the node's log, which tags them with the stage and the node.

The host cuts a line at 8 KiB, escapes control characters, and drops lines of a stage that logs too fast.
In a test the lines go to the harness, elsewhere to stderr. The standard `logging` module ends here as
well: see `Handler`.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from enum import IntEnum


class Level(IntEnum):
    """How much a line matters. The numbers are those of the enum in the WIT."""

    TRACE = 0
    """Each step, to follow one event."""
    DEBUG = 1
    """For the author of the stage."""
    INFO = 2
    """For whoever runs it, when all is well."""
    WARN = 3
    """Something is off; the stage goes on."""
    ERROR = 4
    """Something failed."""

    def __str__(self) -> str:
        return self.name.lower()


def _print(level: Level, message: str) -> None:
    print(f"{level}: {message}", file=sys.stderr)


Sink = Callable[[Level, str], None]
_sink: Sink = _print


def send_to(sink: Sink) -> Sink:
    """Sends lines elsewhere; gives where they went before. For the component's glue and the harness."""
    global _sink
    before, _sink = _sink, sink
    return before


def log(level: Level, message: object) -> None:
    """Writes one line."""
    _sink(level, str(message))


def trace(message: object) -> None:
    """Writes one line, at level trace."""
    _sink(Level.TRACE, str(message))


def debug(message: object) -> None:
    """Writes one line, at level debug."""
    _sink(Level.DEBUG, str(message))


def info(message: object) -> None:
    """Writes one line, at level info."""
    _sink(Level.INFO, str(message))


def warn(message: object) -> None:
    """Writes one line, at level warn."""
    _sink(Level.WARN, str(message))


def error(message: object) -> None:
    """Writes one line, at level error."""
    _sink(Level.ERROR, str(message))


class Handler(logging.Handler):
    """Takes the lines of the standard `logging` module to the node's log.

    A component's root logger has one, at level `INFO`, unless the stage's module gave it handlers of its
    own. More: `logging.getLogger().setLevel(logging.DEBUG)`.
    """

    def emit(self, record: logging.LogRecord) -> None:
        """Writes the record: its message first, then the lines of its traceback, if it has one."""
        try:
            lines = self.format(record).splitlines()
        except Exception:
            # As every handler does with a record it cannot format.
            self.handleError(record)
            return
        for line in lines:
            _sink(_level_of(record.levelno), line)


def _level_of(number: int) -> Level:
    if number >= logging.ERROR:
        return Level.ERROR
    if number >= logging.WARNING:
        return Level.WARN
    if number >= logging.INFO:
        return Level.INFO
    return Level.DEBUG if number >= logging.DEBUG else Level.TRACE
