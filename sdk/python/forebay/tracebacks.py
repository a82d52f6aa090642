"""Tracebacks as an author reads them: their own files, without the frames of this package."""

from __future__ import annotations

import linecache
import os
import sys
import traceback

from forebay.inspection import short

_HERE = os.path.dirname(__file__)


def lines(error: BaseException) -> list[str]:
    """The traceback, line by line; the last one is the exception itself."""
    told = traceback.TracebackException.from_exception(error)
    _shorten(told)
    # Of a syntax error the frames are those of the import, and its place is in its own lines.
    parts = told.format_exception_only() if isinstance(error, SyntaxError) else told.format()
    return [line for part in parts for line in part.rstrip("\n").split("\n")]


def summary(error: BaseException) -> str:
    """The exception and its place in one line: `KeyError: 'x' (greeter.py:12, in handle_events)`."""
    said = "".join(traceback.format_exception_only(error)).strip().replace("\n", " ")
    frames = _own(traceback.extract_tb(error.__traceback__))
    return f"{said} ({place(error)}, in {frames[-1].name})" if frames else said


def place(error: BaseException) -> str | None:
    """File and line where it was raised; of a syntax error, where that is."""
    if isinstance(error, SyntaxError) and error.filename:
        return f"{short(error.filename)}:{error.lineno}"
    frames = _own(traceback.extract_tb(error.__traceback__))
    return f"{short(frames[-1].filename)}:{frames[-1].lineno}" if frames else None


def keep_sources() -> None:
    """Takes along the sources of what was imported from outside the library, for tracebacks to show.

    An entry without a time of change is never looked up on the disk again, where there is nothing left.
    """
    for module in list(sys.modules.values()):
        file = getattr(module, "__file__", None)
        if file and file.endswith(".py") and not file.startswith(("/python/", "/world/", "/bundled/", _HERE)):
            source = linecache.getlines(file)
            linecache.cache[file] = (sum(map(len, source)), None, source, file)


def _own(frames: traceback.StackSummary) -> list[traceback.FrameSummary]:
    """The frames that are not of this package, nor of the machinery of imports; all, if none is left."""
    ours = (_HERE, "<frozen importlib", "/python/importlib", "/world/")
    return [frame for frame in frames if not frame.filename.startswith(ours)] or list(frames)


def _shorten(told: traceback.TracebackException) -> None:
    if told.__cause__:
        _shorten(told.__cause__)
    if told.__context__:
        _shorten(told.__context__)
    if getattr(told, "filename", None):
        told.filename = short(told.filename)
    kept = _own(told.stack)
    for frame in kept:
        # The line is looked up when it is first asked for: by the name the file still has.
        _ = frame.line
        frame.filename = short(frame.filename)
    told.stack = traceback.StackSummary.from_list(kept)
