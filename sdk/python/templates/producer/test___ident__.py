"""Tests of the stage, in plain Python: no WebAssembly, no host."""

from __future__ import annotations

import unittest

import forebay
from forebay import testing

from __ident__ import __Type__


class __Type__Test(unittest.TestCase):
    def test_greets_in_turn(self) -> None:
        stage = testing.producer(__Type__, {"names": ["Ada", "Grace"]})
        texts = [stage.demand(10).texts for _ in range(3)]
        self.assertEqual(texts, [["Hello, Ada!"], ["Hello, Grace!"], ["Hello, Ada!"]])

    def test_names_the_key_that_is_wrong(self) -> None:
        with self.assertRaisesRegex(forebay.Fatal, "at `names`: found number 7, expected a list"):
            testing.producer(__Type__, {"names": 7})
