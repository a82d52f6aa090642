"""Events: the columns that are made of what a stage emits, and what a stage sees of columns."""

from __future__ import annotations

import unittest

import forebay
from forebay import testing
from forebay.columns import Columns


def columns(events: forebay.Events) -> Columns:
    return events._columns()


class Emitting(unittest.TestCase):
    def test_bare_payloads_fill_two_columns_only(self) -> None:
        events = forebay.Events()
        events.push(b"ab")
        events.push("ü")
        events.extend([b"", bytearray(b"c"), memoryview(b"de")])
        made = columns(events)
        self.assertEqual((made.payloads, made.ends), ("abücde".encode(), [2, 4, 4, 5, 7]))
        self.assertEqual((made.topics, made.topic_of, made.keys, made.key_ends, made.headers), ([], [], b"", [], []))

    def test_topics_and_keys_are_filled_up_for_events_without(self) -> None:
        events = forebay.Events()
        events.push("a")
        events.push("b", topic="t", key="kk", headers={"n": "v"})
        events.push("c")
        events.extend(["d", "e"], topic="u")
        events.push("f", topic="t", headers=[("n", "1"), ("n", "2")])
        made = columns(events)
        self.assertEqual((made.topics, made.topic_of), (["", "t", "u"], [0, 1, 0, 2, 2, 1]))
        self.assertEqual((made.keys, made.key_ends), (b"kk", [0, 2, 2, 2, 2, 2]))
        self.assertEqual(made.headers, [(1, "n", "v"), (5, "n", "1"), (5, "n", "2")])

    def test_what_is_no_payload_is_refused_where_it_is_pushed(self) -> None:
        events = forebay.Events()
        with self.assertRaisesRegex(TypeError, r"a payload is 7 \(int\); expected bytes or text"):
            events.push(7)  # type: ignore[arg-type]
        with self.assertRaisesRegex(TypeError, "a header is 'n': 1; expected texts"):
            events.push("a", headers={"n": 1})  # type: ignore[arg-type]

    def test_a_buffer_may_be_used_again(self) -> None:
        events, buffer = forebay.Events(), bytearray(b"one")
        events.push(buffer)
        buffer[:] = b"two"
        self.assertEqual(columns(events).payloads, b"one")

    def test_topics_are_limited_by_their_column(self) -> None:
        events = forebay.Events()
        for number in range(65_536):
            events.push(b"", topic=str(number))
        with self.assertRaisesRegex(ValueError, "65,536 different topics"):
            events.push(b"", topic="one more")

    def test_text_that_is_no_unicode_is_refused(self) -> None:
        for push in ({"topic": "\udc80"}, {"headers": {"n": "\udc80"}}, {"key": "\udc80"}):
            with self.subTest(push), self.assertRaises(UnicodeEncodeError):
                forebay.Events().push("a", **push)


class Reading(unittest.TestCase):
    def delivery(self) -> forebay.Delivery:
        events = forebay.Events()
        events.push("a")
        events.push(b"\xff", topic="t", key="k", headers=[("n", "1"), ("n", "2"), ("m", "3")])
        sent = testing.Source(next_seq=40).send(events)
        sent.seqs = [(40, 1), (50, 1)]
        return forebay.Delivery(sent)

    def test_an_event_has_its_fields(self) -> None:
        first, second = self.delivery()
        self.assertEqual((first.payload, first.text, first.topic, first.key, first.headers), (b"a", "a", None, b"", []))
        self.assertEqual((second.index, second.seq, second.topic, second.key), (1, 50, "t", b"k"))
        self.assertEqual((second.header("n"), second.header("x")), ("1", None))
        self.assertEqual(second.headers, [("n", "1"), ("n", "2"), ("m", "3")])
        with self.assertRaises(UnicodeDecodeError):
            _ = second.text

    def test_a_batch_is_a_sequence(self) -> None:
        delivery = self.delivery()
        self.assertEqual((len(delivery), delivery[-1].index, delivery[0].seq), (2, 1, 40))
        self.assertEqual([event.payload for event in delivery[:1]], [b"a"])
        self.assertEqual(delivery.texts, ["a", "\ufffd"])
        with self.assertRaises(IndexError):
            _ = delivery[2]
        self.assertIn("topic='t'", repr(delivery))

    def test_rejections_are_kept_in_order(self) -> None:
        delivery = self.delivery()
        delivery[1].retry("busy")
        delivery[0].reject("bad")
        self.assertEqual(delivery.rejections, [forebay.Rejection(1, True, "busy"), forebay.Rejection(0, False, "bad")])

    def test_a_copy_keeps_everything(self) -> None:
        delivery, events = self.delivery(), forebay.Events()
        for event in delivery:
            events.push_event(event)
        events.push_event(delivery[1], payload="new")
        copied = list(forebay.Batch(columns(events)))
        for copy, event in zip(copied, delivery, strict=False):
            self.assertEqual(
                (copy.payload, copy.topic, copy.key, copy.headers),
                (event.payload, event.topic, event.key, event.headers),
            )
        self.assertEqual((copied[2].payload, copied[2].key), (b"new", b"k"))
