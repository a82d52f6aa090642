"""What stands between the host's calls and a stage, inside of the component.

The glue that `forebay build` writes hands over what only exists there: the bindings that componentize-py
makes of the WIT. It runs twice: when the component is built, where Python starts and the author's module
is imported, and, from that image of the memory, in each instance.
"""

from __future__ import annotations

import importlib
import importlib.abc
import logging
import os
import sys
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any, NoReturn, TypeVar

from forebay import demand, inspection, log, tracebacks
from forebay.calls import Calls
from forebay.errors import Fatal, Retry, StageError

R = TypeVar("R")

MARK = "forebay: "
"""What lines of the build's stderr begin with that `forebay build` shows: a place, then what is wrong there."""

# A component has no files, so nothing can be imported once it is built. The library imports these late.
LATE = (
    "_strptime",
    "encodings.ascii",
    "encodings.idna",
    "encodings.latin_1",
    "encodings.punycode",
    "encodings.unicode_escape",
    "encodings.utf_16",
    "encodings.utf_16_be",
    "encodings.utf_16_le",
    "encodings.utf_32",
    "encodings.utf_8_sig",
    "linecache",
    "tokenize",
    "traceback",
)


class Output:
    """`forebay:stage/types.output`."""

    __slots__ = ("events", "rejections")

    def __init__(self, events: object, rejections: object) -> None:
        self.events = events
        self.rejections = rejections


class Bindings:
    """What componentize-py made of the WIT: the host's functions, and how errors go out."""

    def __init__(self, host: Any, types: Any, err: Any, demand: Any = None) -> None:
        self._host = host
        self._types = types
        self._err = err
        self._demand = demand

    def log(self, level: log.Level, message: str) -> None:
        """`host.log`."""
        self._host.log(level, _clean(message))

    def ask(self, source: str, count: int) -> None:
        """`demand.ask`, which is there where forebay.toml lists it."""
        if self._demand is None:
            raise Fatal(f'`{source}` cannot be asked; add "demand" to `optional` in forebay.toml, and build again')
        try:
            self._demand.ask(_clean(source), count)
        except self._err as error:
            problem = str(error.value)
        else:
            return
        # Outside of the handler, so that it carries no context.
        raise Fatal(problem)

    def stage_error(self, error: StageError) -> BaseException:
        """What to raise where the WIT says `result<_, stage-error>`."""
        kind = "Retry" if isinstance(error, Retry) else "Fatal" if isinstance(error, Fatal) else "Other"
        made: BaseException = self._err(getattr(self._types, f"StageError_{kind}")(_clean(str(error))))
        return made

    def text_error(self, error: StageError) -> BaseException:
        """What to raise where the WIT says `result<_, string>`."""
        made: BaseException = self._err(_clean(str(error)))
        return made


def load(module: str, role: str, optional: list[str], bindings: Bindings) -> dict[str, type]:
    """Imports the author's module and gives the classes that componentize-py looks for, by name.

    Ends the build with lines for the author if the module cannot be imported or is no such stage.
    """
    for name in LATE:
        importlib.import_module(name)
    try:
        stage = inspection.stage_in(_imported(module), role, optional)
    except inspection.StageMistake as mistake:
        _refuse(mistake.place, [mistake.problem])
    except Exception as error:
        _refuse(tracebacks.place(error) or module, tracebacks.lines(error))
    tracebacks.keep_sources()
    return _exports(stage, bindings)


def _imported(module: str) -> ModuleType:
    imported = importlib.import_module(module)
    if (imported.__file__ or "").startswith("/python/"):
        raise inspection.StageMistake(
            f"{module}.py",
            "it has the name of a module of Python's own library, which comes first; give it another name",
        )
    return imported


def _refuse(place: str, lines: Sequence[str]) -> NoReturn:
    # componentize-py puts words of its own before what the stage says, on the same line.
    print(file=sys.stderr)
    for line in [place, *lines]:
        print(f"{MARK}{line}", file=sys.stderr, flush=True)
    raise SystemExit(1)


def _exports(stage: type[Any], bindings: Bindings) -> dict[str, type]:
    started: list[Calls[Any]] = []

    def calls() -> Calls[Any]:
        return started[0]

    def run(raised: Callable[[StageError], BaseException], call: Callable[[], R]) -> R:
        try:
            return call()
        except StageError as error:
            refused = raised(error)
        except BaseException as error:
            _crash(error)
        # Outside of the handler, so that it carries no context.
        raise refused

    text, whole = bindings.text_error, bindings.stage_error

    class Lifecycle:
        def init(self, ctx: Any) -> None:
            _begin(bindings)
            run(text, lambda: started.append(Calls(stage, ctx)))

    class Produce:
        def handle_demand(self, demand: int) -> object:
            return run(whole, lambda: calls().demand(demand))

    class Consume:
        def handle_events(self, delivery: Any) -> object:
            return run(whole, lambda: calls().deliver(delivery))

    class Transform:
        def handle_events(self, delivery: Any) -> object:
            return Output(*run(whole, lambda: calls().transform(delivery)))

    class Checkpoint:
        def snapshot(self) -> bytes:
            return run(text, lambda: calls().snapshot())

        def restore(self, snapshot: bytes) -> None:
            run(text, lambda: calls().restore(snapshot))

    class Timer:
        def handle_tick(self) -> object:
            return run(whole, lambda: calls().tick())

    class Ingest:
        def handle_ingest(self, events: Any) -> object:
            return run(whole, lambda: calls().ingest(events))

    class Call:
        def handle_call(self, request: bytes) -> bytes:
            return run(text, lambda: calls().call(request))

    class Terminate:
        def terminate(self, reason: str) -> None:
            run(text, lambda: calls().terminate(reason))

    made = (Lifecycle, Produce, Consume, Transform, Checkpoint, Timer, Ingest, Call, Terminate)
    return {each.__name__: each for each in made}


def _begin(bindings: Bindings) -> None:
    """What an instance does before anything of the author's runs in it."""
    log.send_to(bindings.log)
    demand.send_to(bindings.ask)
    root = logging.getLogger()
    if not root.handlers:
        root.addHandler(log.Handler())
        if root.level == logging.WARNING:
            root.setLevel(logging.INFO)
    # A line is to be seen when it is printed, not when 8 KiB have come together.
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    sys.meta_path.append(_TooLate())


class _TooLate(importlib.abc.MetaPathFinder):
    """Says why there is no such module, after all other finders have failed."""

    def find_spec(self, fullname: str, path: object = None, target: object = None) -> None:
        raise ModuleNotFoundError(
            f"no module `{fullname}` in the component, which holds what was imported when it was built; "
            f"write `import {fullname}` at the top of the stage's file",
            name=fullname,
        )


def _crash(error: BaseException) -> NoReturn:
    """Logs what the author's code did wrong, and ends the instance."""
    lines = tracebacks.lines(error)
    log.error(tracebacks.summary(error))
    for line in lines[:-1]:
        log.error(line)
    sys.stdout.flush()
    os.abort()


def _clean(text: str) -> str:
    """Lone surrogates, as of file names that are no UTF-8, cannot cross the border."""
    return text if text.isascii() else text.encode(errors="replace").decode()
