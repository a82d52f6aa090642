"""The six stages, natively: what `forebay-conformance` asks of their components is asked here of the classes."""

from __future__ import annotations

import unittest

import forebay
from batcher import Batcher
from checkpointed import Checkpointed
from counter import Counter
from double import Double
from filter import Filter
from forebay import testing
from misbehaver import Misbehaver


class Numbers(unittest.TestCase):
    def test_counts_from_start_by_step_to_the_limit(self) -> None:
        stage = testing.producer(Counter, {"start": 5, "step": -2, "limit": 4})
        self.assertEqual(stage.demand(3).texts, ["5", "3", "1"])
        self.assertEqual(stage.demand(3).texts, ["-1"])
        self.assertEqual(stage.demand(3).texts, [])

    def test_payloads_are_padded(self) -> None:
        stage = testing.producer(Counter, {"start": 8, "payload_bytes": 4})
        self.assertEqual(stage.demand(2).texts, ["0008", "0009"])

    def test_what_is_pushed_in_is_emitted_with_its_topic(self) -> None:
        events = forebay.Events()
        events.push("a", topic="x", key="k", headers={"h": "v"})
        (event,) = testing.producer(Counter).ingest(events)
        self.assertEqual((event.text, event.topic, event.key, event.headers), ("a", "ingested", b"k", [("h", "v")]))

    def test_is_asked_and_set(self) -> None:
        stage = testing.producer(Counter, {"start": 3})
        self.assertEqual(stage.ask("{}"), b'{"next":3}')
        self.assertEqual(stage.ask('{"set": 40}'), b'{"next":40}')
        self.assertEqual(stage.demand(1).texts, ["40"])
        for request in (
            "[]",
            "no json",
            '{"set": "x"}',
            '{"set": true}',
            '{"set": 1, "more": 2}',
            '{"sett": 1}',
            "null",
        ):
            with self.assertRaises(forebay.StageError) as refused:
                stage.ask(request)
            self.assertEqual(str(refused.exception), f"unknown request: {request}")

    def test_moves_with_its_number(self) -> None:
        first = testing.producer(Checkpointed, {"start": 5})
        first.demand(2)
        second = testing.producer(Checkpointed)
        second.restore(first.snapshot())
        self.assertEqual((first.snapshot(), second.demand(1).texts), (b"7", ["7"]))
        with self.assertRaisesRegex(forebay.StageError, "^snapshot `seven`: expected a number$"):
            second.restore(b"seven")
        second.take_logs()
        second.terminate("drained")
        self.assertEqual([line.message for line in second.logs], ["terminated: drained"])


class Transforms(unittest.TestCase):
    def test_doubles_with_everything(self) -> None:
        events = forebay.Events()
        events.push("a", topic="t", key="k", headers={"h": "v"})
        events.push("b")
        made = testing.producer_consumer(Double).transform(testing.delivery(events)).events
        self.assertEqual(made.texts, ["a", "a", "b", "b"])
        self.assertEqual((made[1].topic, made[1].key, made[1].headers), ("t", b"k", [("h", "v")]))
        self.assertEqual((made[2].topic, made[2].key), (None, b""))
        none = testing.producer_consumer(Double, {"copies": 0})
        self.assertEqual(len(none.transform(["a"]).events), 0)

    def test_filters_and_rejects(self) -> None:
        stage = testing.producer_consumer(Filter, {"contains": "a"})
        made = stage.transform([b"\xff", "later", "abc", "x"])
        self.assertEqual(made.events.texts, ["abc"])
        self.assertEqual(
            made.rejections, [forebay.Rejection(0, False, "not UTF-8"), forebay.Rejection(1, True, "later")]
        )

    def test_batches_and_ticks(self) -> None:
        stage = testing.producer_consumer(Batcher, {"size": 2})
        self.assertEqual(stage.transform(["a", "b", "c"]).events.texts, ["a,b"])
        self.assertEqual((stage.tick().texts, stage.tick().texts), (["c"], []))

    def test_as_many_as_are_joined_are_asked_for(self) -> None:
        stage = testing.producer_consumer(Batcher, {"size": 2, "ask": "source"})
        stage.transform(["a", "b", "c"])
        stage.tick()
        self.assertEqual(stage.take_asks(), [("source", 2), ("source", 2), ("source", 1)])


class Misbehaving(unittest.TestCase):
    def test_fails_as_told(self) -> None:
        for mode, error in (("retry", forebay.Retry), ("fatal", forebay.Fatal), ("other", forebay.Other)):
            with self.assertRaisesRegex(error, "^told to$"):
                testing.consumer(Misbehaver, {"mode": mode}).deliver(["go"])
        with self.assertRaisesRegex(RuntimeError, "^told to trap$"):
            testing.consumer(Misbehaver, {"mode": "trap"}).deliver(["go"])
        with self.assertRaisesRegex(forebay.Fatal, "^told to fail$"):
            testing.consumer(Misbehaver, {"mode": "init"})
        for mode in ("outside", "twice"):
            with self.assertRaises(testing.HostRefused):
                testing.consumer(Misbehaver, {"mode": mode}).deliver(["go"])

    def test_logs_and_rejects(self) -> None:
        stage = testing.consumer(Misbehaver, {"mode": "flood"})
        self.assertEqual(stage.deliver(["a", "no"]), [forebay.Rejection(1, False, "no")])
        self.assertEqual([line.message for line in stage.take_logs()], ["a", "no"])
        stage.deliver(["go"])
        self.assertEqual(len(stage.logs), 10_001)


class Configs(unittest.TestCase):
    def test_what_is_wrong_is_named(self) -> None:
        kinds: list[type] = [Counter, Checkpointed, Double, Filter, Batcher, Misbehaver]
        wrong: list[tuple[type, dict[str, object], str]] = [
            (Counter, {"start": "x"}, '`start`: found text "x"'),
            (Checkpointed, {"step": 0}, "`step` is 0"),
            (Double, {"copies": 1001}, "`copies` is 1001"),
            (Filter, {"contains": 1}, "`contains`: found number 1"),
            (Batcher, {"size": 0}, "`size` is 0"),
            (Misbehaver, {"mode": "odd"}, "`mode` is"),
        ]
        wrong += [(kind, {"strat": 1}, "`strat`") for kind in kinds]
        start = {
            forebay.Producer: testing.producer,
            forebay.Consumer: testing.consumer,
            forebay.ProducerConsumer: testing.producer_consumer,
        }
        for kind, config, expected in wrong:
            role = next(role for role in start if issubclass(kind, role))
            with self.subTest(kind=kind, config=config), self.assertRaises(forebay.Fatal) as refused:
                start[role](kind, config)
            self.assertIn(expected, str(refused.exception))
            self.assertIn("expected", str(refused.exception))
