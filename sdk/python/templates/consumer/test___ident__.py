"""Tests of the stage, in plain Python: no WebAssembly, no host."""

from __future__ import annotations

import contextlib
import io
import unittest

import forebay
from forebay import testing

from __ident__ import __Type__


class __Type__Test(unittest.TestCase):
    def test_greets_everybody(self) -> None:
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            rejections = testing.consumer(__Type__).deliver(["Ada", "Grace"])
        self.assertEqual((printed.getvalue(), rejections), ("Hello, Ada!\nHello, Grace!\n", []))

    def test_rejects_what_is_no_text(self) -> None:
        rejections = testing.consumer(__Type__).deliver([b"\xff"])
        self.assertEqual(rejections, [forebay.Rejection(0, retry=False, reason="a name is UTF-8")])

    def test_names_the_key_that_is_wrong(self) -> None:
        with self.assertRaisesRegex(forebay.Fatal, "at `greeting`: found number 7, expected text"):
            testing.consumer(__Type__, {"greeting": 7})
