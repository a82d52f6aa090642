"""Events a stage emits."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import accumulate

from forebay.batch import Event
from forebay.columns import Columns

Payload = bytes | bytearray | memoryview | str
"""What becomes bytes: text as UTF-8."""
Headers = Mapping[str, str] | Iterable[tuple[str, str]]
"""Headers by name. Pairs where a name occurs more than once."""

TOPICS_MAX = 65_536
"""Different topics in one batch: the column that refers to them has 16 bits."""


class Events:
    r"""Events to emit.

    events.push("bare payload")
    events.push(b"\x01\x02", topic="meters.power", key="meter-7", headers={"unit": "W"})
    events.extend(f"line {n}" for n in range(1000))
    """

    __slots__ = ("_headers", "_key_bytes", "_key_ends", "_keys", "_payloads", "_topic_of", "_topics")

    def __init__(self) -> None:
        self._payloads: list[bytes] = []
        # Topics and keys may be behind the payloads: they are filled up when the next one is set, and
        # at the end. So their columns stay empty for events that have none.
        self._topics: dict[str, int] = {}
        self._topic_of: list[int] = []
        self._keys: list[bytes] = []
        self._key_ends: list[int] = []
        self._key_bytes = 0
        self._headers: list[tuple[int, str, str]] = []

    def push(
        self,
        payload: Payload,
        *,
        topic: str | None = None,
        key: Payload | None = None,
        headers: Headers | None = None,
    ) -> None:
        """Adds an event.

        The topic is what subscriptions choose by; events of one key go to the same consumer when the
        dispatcher partitions by it. The empty topic and the empty key mean none.
        """
        self._payloads.append(payload if type(payload) is bytes else _bytes(payload, "payload"))
        if topic:
            self._set_topic(topic)
        if key:
            self._set_key(_bytes(key, "key"))
        if headers:
            self._set_headers(headers)

    def extend(self, payloads: Iterable[Payload], *, topic: str | None = None) -> None:
        """Adds an event for each payload: quicker than one by one."""
        before = len(self._payloads)
        self._payloads.extend(
            [payload if type(payload) is bytes else _bytes(payload, "payload") for payload in payloads]
        )
        added = len(self._payloads) - before
        if topic and added:
            self._fill_topics(before)
            self._topic_of.extend([self._topic_number(topic)] * added)

    def push_event(self, event: Event, payload: Payload | None = None) -> None:
        """Adds a copy of an event that was delivered, with its topic, key and headers."""
        if payload is None and event._batch._is_bare:
            self._payloads.append(event.payload)
            return
        self.push(
            event.payload if payload is None else payload, topic=event.topic, key=event.key, headers=event.headers
        )

    def __len__(self) -> int:
        return len(self._payloads)

    def __repr__(self) -> str:
        return f"Events(len={len(self)})"

    def _columns(self) -> Columns:
        """The columns that cross to the host."""
        payloads = self._payloads
        if self._topic_of:
            self._fill_topics(len(payloads))
        if self._key_ends:
            self._fill_keys(len(payloads))
        return Columns(
            b"".join(payloads),
            list(accumulate(map(len, payloads))),
            list(self._topics),
            self._topic_of,
            b"".join(self._keys),
            self._key_ends,
            self._headers,
        )

    def _set_topic(self, topic: str) -> None:
        self._fill_topics(len(self._payloads) - 1)
        self._topic_of.append(self._topic_number(topic))

    def _set_key(self, key: bytes) -> None:
        self._fill_keys(len(self._payloads) - 1)
        self._keys.append(key)
        self._key_bytes += len(key)
        self._key_ends.append(self._key_bytes)

    def _set_headers(self, headers: Headers) -> None:
        index = len(self._payloads) - 1
        for name, value in headers.items() if isinstance(headers, Mapping) else headers:
            if not (isinstance(name, str) and isinstance(value, str)):
                raise TypeError(f"a header is {name!r}: {value!r}; expected texts")
            if not (name.isascii() and value.isascii()):
                (name + value).encode()
            self._headers.append((index, name, value))

    def _fill_topics(self, events: int) -> None:
        missing = events - len(self._topic_of)
        if missing > 0:
            self._topic_of.extend([self._topic_number("")] * missing)

    def _fill_keys(self, events: int) -> None:
        missing = events - len(self._key_ends)
        if missing > 0:
            self._key_ends.extend([self._key_bytes] * missing)

    def _topic_number(self, topic: str) -> int:
        number = self._topics.get(topic)
        if number is None:
            number = len(self._topics)
            if number == TOPICS_MAX:
                raise ValueError(f"at most {TOPICS_MAX:,} different topics fit one batch; emit smaller batches")
            topic.encode()  # raises here, at the line that emits, what could not cross the border
            self._topics[topic] = number
        return number


def _bytes(value: Payload, what: str) -> bytes:
    if isinstance(value, str):
        return value.encode()
    if isinstance(value, (bytes, bytearray, memoryview)):
        return bytes(value)
    raise TypeError(f"a {what} is {value!r} ({type(value).__name__}); expected bytes or text")
