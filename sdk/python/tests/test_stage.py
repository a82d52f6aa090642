"""Stages under the harness: the calls, and what is refused."""

from __future__ import annotations

import logging
import unittest
from dataclasses import dataclass

import forebay
from forebay import testing


@dataclass
class Config:
    start: int = 0


class Ticks(
    forebay.Producer[Config], forebay.Checkpoint, forebay.Timer, forebay.Ingest, forebay.Call, forebay.Terminate
):
    def __init__(self, context: forebay.Context[Config]) -> None:
        self.next = context.config.start
        self.extra = 0

    def handle_demand(self, demand: int, events: forebay.Events) -> None:
        for _ in range(demand + self.extra):
            events.push(str(self.next))
            self.next += 1
        forebay.log.info(f"at {self.next}")
        logging.getLogger("lib").warning("from %s", "logging")

    def snapshot(self) -> bytes:
        return b"%d" % self.next

    def restore(self, snapshot: bytes) -> None:
        self.next = int(snapshot)

    def handle_tick(self, events: forebay.Events) -> None:
        events.push("tick")

    def handle_ingest(self, incoming: forebay.Batch, events: forebay.Events) -> None:
        for event in incoming:
            events.push_event(event)

    def handle_call(self, request: bytes) -> bytes:
        if not request:
            raise forebay.StageError("nothing asked")
        return request[::-1]

    def terminate(self, reason: str) -> None:
        forebay.log.warn(reason)


class Sink(forebay.Consumer[None]):
    def handle_events(self, delivery: forebay.Delivery) -> None:
        for event in delivery:
            match event.text:
                case "outside":
                    delivery.rejections.append(forebay.Rejection(9, False, ""))
                case "twice":
                    event.reject("")
                    event.retry("")
                case "later":
                    event.retry("busy")
                case "down":
                    raise forebay.Retry("the database is down")


class Upper(forebay.ProducerConsumer[None]):
    def handle_events(self, delivery: forebay.Delivery, events: forebay.Events) -> None:
        for event in delivery:
            events.push_event(event, event.payload.upper())


class Eager(forebay.Consumer[None]):
    def __init__(self, context: forebay.Context[None]) -> None:
        forebay.ask("other", 1)

    def handle_events(self, delivery: forebay.Delivery) -> None:
        for event in delivery:
            forebay.ask(delivery.source, int(event.text))
            if event.text == "13":
                raise forebay.Retry("told to")


class Harness(unittest.TestCase):
    def test_a_producer_emits_what_is_asked_for(self) -> None:
        stage = testing.producer(Ticks, {"start": 5})
        self.assertEqual(stage.demand(3).texts, ["5", "6", "7"])
        self.assertEqual(
            stage.take_logs(),
            [testing.LogLine(forebay.log.Level.INFO, "at 8"), testing.LogLine(forebay.log.Level.WARN, "from logging")],
        )
        self.assertEqual((stage.logs, stage.stage.next), ([], 8))

    def test_more_than_asked_for_is_refused(self) -> None:
        stage = testing.producer(Ticks)
        stage.stage.extra = 1
        with self.assertRaisesRegex(testing.HostRefused, "3 events for a demand of 2"):
            stage.demand(2)

    def test_a_config_is_refused_in_words(self) -> None:
        with self.assertRaises(forebay.Fatal) as refused:
            testing.producer(Ticks, {"start": "x"})
        self.assertEqual(
            str(refused.exception), 'config of stage `stage`: at `start`: found text "x", expected a whole number'
        )

    def test_optional_calls(self) -> None:
        stage = testing.producer(Ticks, {"start": 5})
        stage.restore(b"40")
        self.assertEqual((stage.demand(1).texts, stage.snapshot()), (["40"], b"41"))
        self.assertEqual((stage.tick().texts, stage.ingest(["a", "b"]).texts), (["tick"], ["a", "b"]))
        self.assertEqual(stage.ask("abc"), b"cba")
        with self.assertRaisesRegex(forebay.StageError, "nothing asked"):
            stage.ask(b"")
        stage.take_logs()
        stage.terminate("the end")
        self.assertEqual(stage.logs, [testing.LogLine(forebay.log.Level.WARN, "the end")])
        with self.assertRaisesRegex(testing.HostRefused, "`Sink` is no `forebay.Checkpoint`"):
            testing.consumer(Sink).snapshot()

    def test_a_consumer_rejects_and_fails(self) -> None:
        stage = testing.consumer(Sink)
        self.assertEqual(stage.deliver(["a", "later"]), [forebay.Rejection(1, True, "busy")])
        with self.assertRaisesRegex(forebay.Retry, "the database is down"):
            stage.deliver(["down"])
        with self.assertRaisesRegex(testing.HostRefused, "none of the 1 events"):
            stage.deliver(["outside"])
        with self.assertRaisesRegex(testing.HostRefused, "a second time"):
            stage.deliver(["twice"])

    def test_what_is_asked_for_is_kept_unless_its_call_failed(self) -> None:
        stage = testing.consumer(Eager)
        stage.deliver(["3", "4"])
        with self.assertRaises(forebay.Retry):
            stage.deliver(["5", "13"])
        stage.deliver(["6"])
        self.assertEqual(stage.take_asks(), [("other", 1), ("source", 3), ("source", 4), ("source", 6)])
        self.assertEqual(stage.take_asks(), [])
        with self.assertRaisesRegex(ValueError, "`count` is -1; expected a number from 0 to 4294967295"):
            forebay.ask("source", -1)

    def test_a_transform_keeps_the_key(self) -> None:
        events = forebay.Events()
        events.push("a", key="k")
        made = testing.producer_consumer(Upper).transform(testing.delivery(events))
        self.assertEqual([(event.payload, event.key) for event in made.events], [(b"A", b"k")])
        self.assertEqual(made.rejections, [])

    def test_events_from_outside_cannot_be_rejected(self) -> None:
        class Rejecting(Ticks):
            def handle_ingest(self, incoming: forebay.Batch, events: forebay.Events) -> None:
                incoming[0].reject("no")

        with self.assertRaisesRegex(TypeError, "only the events of a delivery"):
            testing.producer(Rejecting).ingest(["a"])

    def test_a_returned_value_is_a_mistake(self) -> None:
        class Returning(Sink):
            def handle_events(self, delivery: forebay.Delivery) -> None:
                return [1]  # type: ignore[return-value]

        with self.assertRaisesRegex(TypeError, "`handle_events` returned list; expected None"):
            testing.consumer(Returning).deliver(["a"])
