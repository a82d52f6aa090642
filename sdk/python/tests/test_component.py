"""The glue inside of a component, with bindings that only keep what they are given."""

from __future__ import annotations

import importlib
import logging
import os
import sys
import tempfile
import unittest
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast
from unittest import mock

import forebay
from forebay import component, demand, log, testing

SOURCE = """
import forebay

class Greeter(forebay.ProducerConsumer[None], forebay.Call):
    def handle_events(self, delivery, events):
        for event in delivery:
            match event.text:
                case "retry": raise forebay.Retry("later")
                case "fatal": raise forebay.Fatal("gone")
                case "other": raise forebay.StageError("strange")
                case "crash": self.crash()
                case "bad": event.reject("bad")
                case "ask": forebay.ask(delivery.source, 2)
                case _: events.push_event(event)

    def crash(self):
        raise KeyError("x")

    def handle_call(self, request):
        raise forebay.Fatal("no " + request.decode(errors="surrogateescape"))
"""


class Err(Exception):
    """As componentize-py's: what goes out is its value."""

    def __init__(self, value: Any) -> None:
        self.value = value


class Types:
    """As the bindings': one class for each case of `stage-error`."""

    StageError_Retry = staticmethod(lambda text: ("retry", text))
    StageError_Fatal = staticmethod(lambda text: ("fatal", text))
    StageError_Other = staticmethod(lambda text: ("other", text))


class Host:
    """As the bindings'."""

    def __init__(self) -> None:
        self.lines: list[tuple[log.Level, str]] = []

    def log(self, level: log.Level, message: str) -> None:
        message.encode()
        self.lines.append((level, message))


class Demand:
    """As the bindings'."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, int]] = []

    def ask(self, source: str, count: int) -> None:
        if source == "unknown":
            raise Err("no such source")
        self.asked.append((source, count))


class Crashed(BaseException):
    """In place of the abort."""


def refused(call: Callable[[], object]) -> object:
    try:
        call()
    except Err as error:
        return error.value
    raise AssertionError("nothing was raised")


class Glue(unittest.TestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.file = Path(folder.name) / "glued.py"
        self.file.write_text(SOURCE)
        patches: tuple[Any, ...] = (
            mock.patch.object(sys, "path", [folder.name, *sys.path]),
            mock.patch.object(sys, "meta_path", list(sys.meta_path)),
            mock.patch.object(logging.getLogger(), "handlers", []),
            mock.patch.object(os, "abort", side_effect=Crashed),
        )
        for patch in patches:
            patch.start()
            self.addCleanup(patch.stop)
        self.addCleanup(sys.modules.pop, "glued", None)
        self.addCleanup(log.send_to, log.send_to(lambda level, message: None))
        self.addCleanup(demand.send_to, demand.send_to(lambda source, count: None))
        self.host = Host()

    def load(self, demand: object = None) -> dict[str, Any]:
        bindings = component.Bindings(self.host, Types, Err, demand)
        return component.load("glued", "producer-consumer", ["call"], bindings)

    def started(self, demand: object = None) -> dict[str, Any]:
        made = self.load(demand)
        with mock.patch.object(sys, "stdout", mock.MagicMock()):
            made["Lifecycle"]().init(testing._Context("p", "s", "n", 0, "null", []))
        return made

    def test_events_and_rejections_go_out(self) -> None:
        output = self.started()["Transform"]().handle_events(testing.delivery(["a", "bad", "b"]))
        self.assertEqual((output.events.payloads, output.events.ends), (b"ab", [1, 2]))
        self.assertEqual(output.rejections, [forebay.Rejection(1, False, "bad")])

    def test_errors_go_out_as_the_wit_has_them(self) -> None:
        made = self.started()
        transform = made["Transform"]()
        for case in (("retry", "later"), ("fatal", "gone"), ("other", "strange")):
            self.assertEqual(refused(lambda: transform.handle_events(testing.delivery([case[0]]))), case)  # noqa: B023
        self.assertEqual(refused(lambda: made["Call"]().handle_call(b"\xff")), "no ?")

    def test_asks_go_to_the_host_whose_error_is_fatal(self) -> None:
        demand = Demand()
        transform = self.started(demand)["Transform"]()
        transform.handle_events(testing.delivery(["ask"]))
        self.assertEqual(demand.asked, [("source", 2)])
        sent = testing.Source("unknown").send(["ask"])
        self.assertEqual(refused(lambda: transform.handle_events(sent)), ("fatal", "no such source"))

    def test_an_ask_that_forebay_toml_does_not_list_is_refused(self) -> None:
        transform = self.started()["Transform"]()
        _, problem = cast("tuple[str, str]", refused(lambda: transform.handle_events(testing.delivery(["ask"]))))
        self.assertIn('add "demand" to `optional` in forebay.toml', problem)

    def test_a_config_that_is_none_of_its_own_stops_the_start(self) -> None:
        made = self.load()
        given = testing._Context("p", "s", "n", 0, '{"a": 1}', [])
        with mock.patch.object(sys, "stdout", mock.MagicMock()):
            self.assertIn("config of stage `s`: found a table", str(refused(lambda: made["Lifecycle"]().init(given))))

    def test_any_other_exception_is_logged_with_its_place_and_ends_the_instance(self) -> None:
        made = self.started()
        with self.assertRaises(Crashed):
            made["Transform"]().handle_events(testing.delivery(["crash"]))
        levels, lines = zip(*self.host.lines, strict=True)
        self.assertEqual(set(levels), {log.Level.ERROR})
        self.assertRegex(lines[0], r"^KeyError: 'x' \(.*glued.py:17, in crash\)$")
        self.assertIn('    raise KeyError("x")', lines)
        self.assertFalse([line for line in lines if "calls.py" in line or "component.py" in line])

    def test_a_module_that_was_not_there_at_the_build_is_explained(self) -> None:
        self.started()
        with self.assertRaisesRegex(ModuleNotFoundError, "write `import no_such_module` at the top"):
            importlib.import_module("no_such_module")

    def test_a_mistake_ends_the_build_with_marked_lines(self) -> None:
        for change, expected in (
            (("def handle_call", "def handle_cal"), r"glued.py:4\nforebay: `Greeter` has no `handle_call`"),
            (
                ("import forebay", "import forebey"),
                r"glued.py:2\nforebay: Traceback(.*\n)*forebay: ModuleNotFoundError",
            ),
            (
                ("class Greeter", "clas Greeter"),
                r'glued.py:4\nforebay:   File "[^\n]*glued.py", line 4\nforebay: (.*\n)*forebay: SyntaxError: ',
            ),
        ):
            with self.subTest(change=change), mock.patch("sys.stderr") as stderr:
                self.file.write_text(SOURCE.replace(*change))
                sys.modules.pop("glued", None)
                with self.assertRaises(SystemExit):
                    self.load()
                said = "".join(call.args[0] for call in stderr.write.call_args_list)
                self.assertRegex(said, rf"^\nforebay: .*{expected}")
