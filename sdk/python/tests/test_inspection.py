"""Mistakes in a stage's class are told with the author's file, before anything runs."""

from __future__ import annotations

import importlib.util
import sys
import tempfile
import textwrap
import unittest
from pathlib import Path

from forebay import inspection

HEAD = "import forebay\nfrom dataclasses import dataclass\n\n"


def found(source: str, role: str = "producer", optional: list[str] | None = None) -> str:
    """What is said of a stage's module; its class, if nothing is."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "greeter.py"
        file.write_text(HEAD + textwrap.dedent(source))
        spec = importlib.util.spec_from_file_location("greeter", file)
        assert spec and spec.loader
        module = importlib.util.module_from_spec(spec)
        sys.modules["greeter"] = module
        try:
            spec.loader.exec_module(module)
            return inspection.stage_in(module, role, optional or []).__name__
        except inspection.StageMistake as mistake:
            return str(mistake)


class Mistakes(unittest.TestCase):
    def test_a_stage_that_is_right_is_found(self) -> None:
        source = """
        class Base(forebay.Producer[None]):
            def handle_demand(self, demand, events): pass
        class Greeter(Base, forebay.Timer):
            def handle_tick(self, events): pass
        class _Helper(forebay.Consumer[None]): pass
        """
        self.assertEqual(found(source, optional=["timer"]), "Greeter")

    def test_each_is_told_with_its_place(self) -> None:
        whole = "class Greeter(forebay.Producer[None]):\n    def handle_demand(self, demand, events): pass\n"
        cases = [
            ("x = 1", [], "greeter.py: the stage is the one class that inherits from `forebay.Producer`; found none"),
            (whole + whole.replace("Greeter", "Other"), [], "found `Greeter`, `Other`; name those that are not to be"),
            (
                "class Greeter(forebay.Consumer[None]):\n    def handle_events(self, delivery): pass",
                [],
                'greeter.py:4: `Greeter` is a `forebay.Consumer`, but forebay.toml says `role = "producer"`',
            ),
            (
                "class Greeter(forebay.Producer[None]): pass",
                [],
                "greeter.py:4: `Greeter` has no `handle_demand`, which a `forebay.Producer` needs; "
                "add `def handle_demand(self, demand, events)`",
            ),
            (
                "class Greeter(forebay.Producer[None]):\n    def handle_demand(self, demand): pass",
                [],
                "greeter.py:5: `Greeter.handle_demand` takes `(self, demand)`; "
                "expected `def handle_demand(self, demand, events)`",
            ),
            (
                "class Greeter(forebay.Producer[None]):\n    async def handle_demand(self, demand, events): pass",
                [],
                "greeter.py:5: `Greeter.handle_demand` is `async`",
            ),
            (
                "class Greeter(forebay.Producer[None]):\n    def handle_demand(self, demand, events): yield 1",
                [],
                "greeter.py:5: `Greeter.handle_demand` has a `yield`",
            ),
            (whole, ["timer"], 'greeter.py:4: forebay.toml lists "timer" as optional, but `Greeter` does not inherit'),
            (
                whole.replace("[None]", "[None], forebay.Timer") + "    def handle_tick(self, events): pass",
                [],
                'forebay.toml does not list it; write `optional = ["timer"]` there',
            ),
            (
                whole + "    def __init__(self): pass",
                [],
                "greeter.py:6: `Greeter.__init__` takes `(self)`; expected `def __init__(self, context:",
            ),
            (
                "@dataclass\nclass Config:\n    names: set\n" + whole.replace("[None]", "[Config]"),
                [],
                "greeter.py:7: the config of `Greeter`: Config.names: `set` cannot be read from a config",
            ),
        ]
        for source, optional, expected in cases:
            with self.subTest(source=source):
                self.assertIn(expected, found(source, optional=optional))
