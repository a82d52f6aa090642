"""Tests of the stage, in plain Python: no WebAssembly, no host."""

from __future__ import annotations

import unittest

import forebay
from forebay import testing

from __ident__ import __Type__


class __Type__Test(unittest.TestCase):
    def test_greets_everybody(self) -> None:
        made = testing.producer_consumer(__Type__).transform(["Ada", b"\xff", "Grace"])
        self.assertEqual(made.events.texts, ["Hello, Ada!", "Hello, Grace!"])
        self.assertEqual(made.rejections, [forebay.Rejection(1, retry=False, reason="a name is UTF-8")])

    def test_keeps_the_key(self) -> None:
        events = forebay.Events()
        events.push("Ada", key="a")
        made = testing.producer_consumer(__Type__).transform(testing.delivery(events))
        self.assertEqual([event.key for event in made.events], [b"a"])

    def test_names_the_key_that_is_wrong(self) -> None:
        with self.assertRaisesRegex(forebay.Fatal, "at `greeting`: found number 7, expected text"):
            testing.producer_consumer(__Type__, {"greeting": 7})
