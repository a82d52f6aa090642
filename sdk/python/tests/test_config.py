"""Configs: what is read, and what is said of those that cannot be."""

from __future__ import annotations

import enum
import json
import unittest
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from forebay.config import ConfigError, parse, reader


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


@dataclass
class Retrying:
    after: float = 1.0
    times: int = 3


@dataclass
class Config:
    start: int
    name: str = "x"
    limit: int | None = None
    tags: list[str] = field(default_factory=list)
    rates: dict[str, float] = field(default_factory=dict)
    retrying: Retrying = field(default_factory=Retrying)
    mode: Literal["fast", "slow", 1] = "fast"
    colour: Colour = Colour.RED
    exact: bool = False
    either: int | str = 0
    noted: Annotated[int, "a note"] = 0
    anything: Any = None

    def __post_init__(self) -> None:
        if self.start < 0:
            raise ValueError(f"`start` is {self.start}; expected at least 0")


def error(value: object) -> str:
    try:
        parse(json.dumps(value), Config)
    except ConfigError as found:
        return str(found)
    raise AssertionError("no error")


class Configs(unittest.TestCase):
    def test_values_become_what_the_fields_say(self) -> None:
        value = {
            "start": 7,
            "limit": 3,
            "tags": ["a", "b"],
            "rates": {"x": 1},
            "retrying": {"after": 2},
            "mode": "slow",
            "colour": "blue",
            "exact": True,
            "either": "y",
            "noted": 4,
            "anything": [1, {"a": None}],
        }
        config = parse(json.dumps(value), Config)
        self.assertEqual((config.start, config.name, config.limit, config.tags), (7, "x", 3, ["a", "b"]))
        self.assertEqual((config.retrying, config.rates), (Retrying(2.0), {"x": 1.0}))
        self.assertIs(type(config.retrying.after), float)
        self.assertEqual((config.mode, config.colour, config.exact, config.either), ("slow", Colour.BLUE, True, "y"))
        self.assertEqual((config.noted, config.anything), (4, [1, {"a": None}]))

    def test_no_config_is_one_of_defaults(self) -> None:
        for text in ("null", "{}", ""):
            self.assertEqual(parse(text, Retrying), Retrying(1.0, 3))

    def test_a_stage_without_config_takes_none(self) -> None:
        self.assertIsNone(parse("null", None))
        self.assertIsNone(parse("{}", None))
        with self.assertRaisesRegex(ConfigError, "found a table, but this stage has no config"):
            parse('{"a": 1}', None)

    def test_what_is_wrong_is_named_with_its_key(self) -> None:
        cases: list[tuple[object, str]] = [
            ({"start": "x"}, 'at `start`: found text "x", expected a whole number'),
            ({"start": 1.5}, "at `start`: found number 1.5, expected a whole number"),
            ({"start": True}, "at `start`: found true, expected a whole number"),
            ({"start": None}, "at `start`: found null, expected a whole number"),
            ({"start": 1, "name": 1}, "at `name`: found number 1, expected text"),
            ({"start": 1, "limit": "x"}, 'at `limit`: found text "x", expected a whole number'),
            ({"start": 1, "tags": ["a", 1]}, "at `tags[1]`: found number 1, expected text"),
            ({"start": 1, "tags": "a"}, 'at `tags`: found text "a", expected a list'),
            ({"start": 1, "rates": {"a": "b"}}, 'at `rates.a`: found text "b", expected a number'),
            ({"start": 1, "retrying": {"after": "b"}}, 'at `retrying.after`: found text "b", expected a number'),
            ({"start": 1, "retrying": 1}, "at `retrying`: found number 1, expected a table"),
            (
                {"start": 1, "mode": "x"},
                'at `mode`: found text "x", expected one of text "fast", text "slow", number 1',
            ),
            ({"start": 1, "mode": True}, 'at `mode`: found true, expected one of text "fast", text "slow", number 1'),
            ({"start": 1, "colour": "x"}, 'at `colour`: found text "x", expected one of text "red", text "blue"'),
            ({"start": 1, "exact": 0}, "at `exact`: found number 0, expected true or false"),
            ({"start": 1, "either": []}, "at `either`: found a list, expected a whole number or text"),
            ({"start": -1}, "`start` is -1; expected at least 0"),
            ({}, "`start` is missing, expected a whole number"),
            ({"start": 1, "retrying": {"afer": 1}}, "unknown key `retrying.afer`, expected one of `after`, `times`"),
            ([], "found a list, expected a table"),
        ]
        for value, expected in cases:
            with self.subTest(value=value):
                self.assertEqual(error(value), expected)

    def test_a_type_no_config_can_have_is_refused_at_once(self) -> None:
        @dataclass
        class Odd:
            names: set[str]

        with self.assertRaisesRegex(TypeError, "Odd.names: `set` cannot be read from a config"):
            reader(Odd)
