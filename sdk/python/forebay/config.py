"""Reads the `config` of the pipeline file as the type a stage names.

    @dataclass
    class Config:
        start: int = 0
        limit: int | None = None

A wrong type and an unknown key are errors that name the key: at `start`: found text "x", expected a whole
number. What a type cannot say, `__post_init__` can: a `ValueError` from it is an error of the config too.
"""

from __future__ import annotations

import dataclasses
import enum
import json
import types
import typing
from collections.abc import Callable
from typing import Any, Literal, Union

Read = Callable[[object, str], Any]
"""Makes a value of what JSON gave; the text is the path to it, empty for the whole."""


class ConfigError(Exception):
    """The config is not what the stage expects; the text says where and what."""


def parse(text: str, expected: type | None) -> Any:
    """Reads JSON as `expected`. An absent config is an empty one: every field has its default."""
    value = json.loads(text) if text.strip() else None
    if expected is None or expected is type(None):
        if value not in (None, {}):
            raise ConfigError(f"found {_found(value)}, but this stage has no config; expected none")
        return None
    if value is None and dataclasses.is_dataclass(expected):
        value = {}
    return reader(expected)(value, "")


def reader(expected: Any) -> Read:
    """What reads a type.

    Raises `TypeError` for a type that a config cannot have, before there is any value.
    """
    if expected in _PLAIN:
        return _PLAIN[expected]
    origin, arguments = typing.get_origin(expected), typing.get_args(expected)
    if origin is typing.Annotated:
        return reader(arguments[0])
    if origin is Union or origin is types.UnionType:
        return _union([reader(each) for each in arguments])
    if origin is Literal:
        return _one_of({each: each for each in arguments})
    if expected is list or origin is list:
        return _list(reader(arguments[0] if arguments else Any))
    if expected is dict or (origin is dict and arguments[0] is str):
        return _table(reader(arguments[1] if arguments else Any))
    if isinstance(expected, type) and dataclasses.is_dataclass(expected):
        return _record(expected)
    if isinstance(expected, type) and issubclass(expected, enum.Enum):
        return _one_of({each.value: each for each in expected})
    raise TypeError(
        f"`{getattr(expected, '__name__', expected)}` cannot be read from a config; expected int, float, str, bool, "
        "None, list, dict with text keys, Literal, an Enum, a dataclass, or a union of these"
    )


def _wrong(path: str, value: object, expected: str) -> ConfigError:
    place = f"at `{path}`: " if path else ""
    return ConfigError(f"{place}found {_found(value)}, expected {expected}")


def _found(value: object) -> str:
    if value is None or isinstance(value, bool):
        return json.dumps(value)
    if isinstance(value, str):
        return f"text {json.dumps(value, ensure_ascii=False)}"
    if isinstance(value, (int, float)):
        return f"number {json.dumps(value)}"
    return "a list" if isinstance(value, list) else "a table"


def _plain(name: str, fits: Callable[[object], bool]) -> Read:
    def read(value: object, path: str) -> object:
        if not fits(value):
            raise _wrong(path, value, name)
        return value

    return read


def _float(value: object, path: str) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise _wrong(path, value, "a number")
    return float(value)


# A bool is an int in Python, but not in a config.
_PLAIN: dict[Any, Read] = {
    int: _plain("a whole number", lambda value: isinstance(value, int) and not isinstance(value, bool)),
    float: _float,
    str: _plain("text", lambda value: isinstance(value, str)),
    bool: _plain("true or false", lambda value: isinstance(value, bool)),
    type(None): _plain("null", lambda value: value is None),
    None: _plain("null", lambda value: value is None),
    Any: lambda value, path: value,
    object: lambda value, path: value,
}


def _union(readers: list[Read]) -> Read:
    def read(value: object, path: str) -> object:
        errors = []
        for each in readers:
            try:
                return each(value, path)
            except ConfigError as error:
                errors.append(str(error))
        # An error further inside says more than that a table is no number.
        inner = [error for error in errors if not error.startswith(str(_wrong(path, value, "")))]
        if inner:
            raise ConfigError(inner[0])
        expected = dict.fromkeys(error.partition(", expected ")[2] for error in errors)
        # What may be absent is not asked for as null: TOML has none.
        expected.pop("null", None)
        raise _wrong(path, value, " or ".join(expected))

    return read


def _one_of(values: dict[Any, Any]) -> Read:
    known = ", ".join(_found(each) for each in values)

    def read(value: object, path: str) -> object:
        for each, made in values.items():
            # 1 == True, so the types count too.
            if type(each) is type(value) and each == value:
                return made
        raise _wrong(path, value, f"one of {known}")

    return read


def _list(item: Read) -> Read:
    def read(value: object, path: str) -> list[object]:
        if not isinstance(value, list):
            raise _wrong(path, value, "a list")
        return [item(each, f"{path}[{index}]") for index, each in enumerate(value)]

    return read


def _table(item: Read) -> Read:
    def read(value: object, path: str) -> dict[str, object]:
        if not isinstance(value, dict):
            raise _wrong(path, value, "a table")
        return {key: item(each, _join(path, key)) for key, each in value.items()}

    return read


def _record(expected: Any) -> Read:
    hints = typing.get_type_hints(expected, include_extras=True)
    fields = {field.name: field for field in dataclasses.fields(expected) if field.init}
    readers = {}
    for name in fields:
        try:
            readers[name] = reader(hints[name])
        except TypeError as error:
            raise TypeError(f"{expected.__name__}.{name}: {error}") from None

    def read(value: object, path: str) -> object:
        if not isinstance(value, dict):
            raise _wrong(path, value, "a table")
        _check_keys(value, fields, path)
        given = {key: readers[key](each, _join(path, key)) for key, each in value.items()}
        try:
            return expected(**given)
        except ValueError as error:
            place = f"at `{path}`: " if path else ""
            raise ConfigError(f"{place}{error}") from error

    return read


def _check_keys(value: dict[str, object], fields: dict[str, dataclasses.Field[Any]], path: str) -> None:
    for key in value:
        if key not in fields:
            known = ", ".join(f"`{name}`" for name in fields)
            raise ConfigError(f"unknown key `{_join(path, key)}`, expected {f'one of {known}' if known else 'none'}")
    for name, field in fields.items():
        required = field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
        if required and name not in value:
            raise ConfigError(f"`{_join(path, name)}` is missing, expected {_type_name(field.type)}")


def _type_name(expected: Any) -> str:
    # Under `from __future__ import annotations` a field's type is its name.
    name = expected if isinstance(expected, str) else getattr(expected, "__name__", "")
    return {"int": "a whole number", "float": "a number", "str": "text", "bool": "true or false"}.get(name, "a value")


def _join(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key
