"""Checks a stage's class before it is run: that it is what its role asks for.

Done by `forebay build` before there is a component, and by the harness before the first call, so that a
forgotten method is told with the author's file and not with the host's "missing export".
"""

from __future__ import annotations

import inspect
import os
import typing
from types import ModuleType
from typing import Any

from forebay import config
from forebay.stage import Call, Checkpoint, Consumer, Ingest, Producer, ProducerConsumer, Stage, Terminate, Timer

ROLES: dict[str, type] = {"producer": Producer, "consumer": Consumer, "producer-consumer": ProducerConsumer}
OPTIONAL: dict[str, type] = {
    "call": Call,
    "checkpoint": Checkpoint,
    "ingest": Ingest,
    "terminate": Terminate,
    "timer": Timer,
}


class StageMistake(TypeError):
    """A stage is not what its role asks for: where in the author's files, and what."""

    def __init__(self, place: str, problem: str) -> None:
        super().__init__(f"{place}: {problem}")
        self.place = place
        self.problem = problem


def stage_in(module: ModuleType, role: str, optional: list[str]) -> type[Stage[Any]]:
    """The stage's class in the author's module, checked.

    Raises `StageMistake`.
    """
    own = [
        each
        for each in vars(module).values()
        if isinstance(each, type) and issubclass(each, Stage) and each.__module__ == module.__name__
    ]
    last = [each for each in dict.fromkeys(own) if not any(each in other.__mro__[1:] for other in own)]
    found = [each for each in last if not each.__name__.startswith("_")]
    file = _file(module)
    if len(found) != 1:
        which = ", ".join(f"`{each.__name__}`" for each in found) if found else "none"
        raise StageMistake(
            file,
            f"the stage is the one class that inherits from `forebay.{ROLES[role].__name__}`; found {which}"
            + ("; name those that are not to be run with a leading `_`" if found else ""),
        )
    stage = found[0]
    _check_role(stage, role)
    _check_optional(stage, optional)
    check(stage)
    return stage


def check(stage: type[Stage[Any]]) -> None:
    """Checks that every method is there and takes what it is given, and that the config can be read.

    Raises `StageMistake`.
    """
    for base in (*ROLES.values(), *OPTIONAL.values()):
        if issubclass(stage, base):
            for name in sorted(base.__abstractmethods__):  # type: ignore[attr-defined]
                _check_method(stage, base, name)
    _check_start(stage)
    try:
        expected = config_type(stage)
        if expected not in (None, type(None)):
            config.reader(expected)
    except (NameError, TypeError) as error:
        raise StageMistake(_place(stage), f"the config of `{stage.__name__}`: {error}") from error


def config_type(stage: type[Stage[Any]]) -> Any:
    """`Config` of `class Greeter(forebay.Consumer[Config])`; `None` if it names none."""
    for each in stage.__mro__:
        for base in each.__dict__.get("__orig_bases__", ()):
            origin = typing.get_origin(base)
            if isinstance(origin, type) and issubclass(origin, Stage):
                (named,) = typing.get_args(base)
                if not isinstance(named, typing.TypeVar):
                    return named
    return None


def _check_role(stage: type, role: str) -> None:
    wanted = ROLES[role]
    if issubclass(stage, wanted):
        return
    has = next((name for name, base in ROLES.items() if issubclass(stage, base)), None)
    raise StageMistake(
        _place(stage),
        f"`{stage.__name__}` is a `forebay.{ROLES[has].__name__ if has else 'Stage'}`, but forebay.toml says "
        f'`role = "{role}"`; inherit from `forebay.{wanted.__name__}`'
        + (f', or write `role = "{has}"`' if has else ""),
    )


def _check_optional(stage: type, optional: list[str]) -> None:
    name = stage.__name__
    for ability, base in OPTIONAL.items():
        if issubclass(stage, base) and ability not in optional:
            listed = ", ".join(f'"{each}"' for each in sorted({*optional, ability}))
            raise StageMistake(
                _place(stage),
                f"`{name}` is a `forebay.{base.__name__}`, but forebay.toml does not list it; "
                f"write `optional = [{listed}]` there",
            )
        if ability in optional and not issubclass(stage, base):
            raise StageMistake(
                _place(stage),
                f'forebay.toml lists "{ability}" as optional, but `{name}` does not inherit from '
                f"`forebay.{base.__name__}`; add it, or take it from the list",
            )


def _check_method(stage: type, base: type, name: str) -> None:
    wanted = getattr(base, name)
    method = getattr(stage, name)
    signature = f"{name}{_written(wanted)}"
    if method is wanted or getattr(method, "__isabstractmethod__", False):
        raise StageMistake(
            _place(stage),
            f"`{stage.__name__}` has no `{name}`, which a `forebay.{base.__name__}` needs; add `def {signature}`",
        )
    place, called = _place(method), f"`{stage.__name__}.{name}`"
    if not _takes(method, len(inspect.signature(wanted).parameters)):
        raise StageMistake(place, f"{called} takes `{_written(method)}`; expected `def {signature}`")
    if inspect.iscoroutinefunction(method) or inspect.isasyncgenfunction(method):
        raise StageMistake(place, f"{called} is `async`; expected a plain `def`: the host waits for the call")
    if inspect.isgeneratorfunction(method):
        raise StageMistake(
            place, f"{called} has a `yield`, so calling it would do nothing; add events by `events.push`"
        )


def _check_start(stage: type) -> None:
    start = stage.__init__  # type: ignore[misc]
    if not _takes(start, 2):
        raise StageMistake(
            _place(start),
            f"`{stage.__name__}.__init__` takes `{_written(start)}`; "
            "expected `def __init__(self, context: forebay.Context[Config])`",
        )


def _takes(method: Any, arguments: int) -> bool:
    try:
        inspect.signature(method).bind(*range(arguments))
    except TypeError:
        return False
    return True


def _written(method: Any) -> str:
    """A signature as the author writes it, without annotations."""
    return f"({', '.join(inspect.signature(method).parameters)})"


def _place(what: Any) -> str:
    try:
        file = inspect.getsourcefile(what) or ""
        code = getattr(what, "__code__", None)
        line = code.co_firstlineno if code else inspect.getsourcelines(what)[1]
    except (OSError, TypeError):
        return str(getattr(what, "__module__", "?"))
    return f"{short(file)}:{line}"


def _file(module: ModuleType) -> str:
    return short(module.__file__ or module.__name__)


def short(path: str) -> str:
    """A path as the author knows it: from the project's directory.

    `componentize-py` mounts each directory of the path as /0, /1 and so on.
    """
    parts = path.split("/")
    if len(parts) > 2 and parts[0] == "" and parts[1].isdigit():
        return "/".join(parts[2:])
    try:
        return os.path.relpath(path)
    except (OSError, ValueError):
        return path
