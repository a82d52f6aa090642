"""Events a stage is handed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, count, repeat
from typing import overload

from forebay.columns import BatchColumns, DeliveryColumns, cut


@dataclass(frozen=True)
class Rejection:
    """One event a stage could not process."""

    index: int
    """Its index in the delivered batch."""
    retry: bool
    """Whether a later attempt may succeed. If not, the event is a dead letter at once."""
    reason: str
    """Why, for a person."""


class Event:
    """One event of a batch. May be kept; it holds on to its batch then."""

    __slots__ = ("_batch", "index", "payload")

    def __init__(self, batch: Batch, index: int, payload: bytes) -> None:
        self._batch = batch
        self.index = index
        self.payload = payload

    @property
    def text(self) -> str:
        """The payload as text; `UnicodeDecodeError` if it is not UTF-8."""
        return self.payload.decode()

    @property
    def topic(self) -> str | None:
        """The topic, if it has one."""
        return self._batch._topic(self.index)

    @property
    def key(self) -> bytes:
        """The key; empty when there is none."""
        return self._batch._key(self.index)

    @property
    def headers(self) -> list[tuple[str, str]]:
        """The headers, (name, value), in the order they were added."""
        return self._batch._headers(self.index)

    def header(self, name: str) -> str | None:
        """The value of the first header of this name."""
        return next((value for known, value in self.headers if known == name), None)

    @property
    def seq(self) -> int:
        """The number the source's host gave it; a redelivered event keeps its number.

        In `handle_ingest`, where nothing is numbered yet, its index.
        """
        return self._batch._seq(self.index)

    def reject(self, reason: str) -> None:
        """Says that this event cannot be processed, now or later: it becomes a dead letter."""
        self._batch._reject(Rejection(self.index, False, reason))

    def retry(self, reason: str) -> None:
        """Says that this event could not be processed now; the host delivers it again later."""
        self._batch._reject(Rejection(self.index, True, reason))

    def __repr__(self) -> str:
        fields = [f"payload={self.payload!r}"]
        fields += [f"{name}={value!r}" for name in ("topic", "key", "headers") if (value := getattr(self, name))]
        return f"Event(seq={self.seq}, {', '.join(fields)})"


class Batch:
    """Any number of events: those from outside in `handle_ingest`, or those a stage emitted, in a test.

    `len`, `for`, `batch[i]` work as with a list. The columns are cut into fields when they are asked
    for; `payloads` is the quickest way to all of them.
    """

    __slots__ = ("_columns", "_is_bare", "_keys", "_named", "_payloads")

    def __init__(self, columns: BatchColumns) -> None:
        self._columns = columns
        # No event has anything but a payload: what spares looking for it, event by event.
        self._is_bare = not (columns.topics or columns.key_ends or columns.headers)
        self._payloads: list[bytes] | None = None
        self._keys: list[bytes] | None = None
        self._named: dict[int, list[tuple[str, str]]] | None = None

    @property
    def payloads(self) -> list[bytes]:
        """All payloads, in order. Cut once: change a copy of it."""
        if self._payloads is None:
            self._payloads = cut(self._columns.payloads, self._columns.ends)
        return self._payloads

    @property
    def texts(self) -> list[str]:
        """The payloads as texts, for a test or a log line; bytes that are not UTF-8 are replaced."""
        return [payload.decode(errors="replace") for payload in self.payloads]

    def __len__(self) -> int:
        return len(self._columns.ends)

    def __iter__(self) -> Iterator[Event]:
        return map(Event, repeat(self), count(), self.payloads)

    @overload
    def __getitem__(self, index: int) -> Event: ...
    @overload
    def __getitem__(self, index: slice) -> list[Event]: ...
    def __getitem__(self, index: int | slice) -> Event | list[Event]:
        if isinstance(index, slice):
            return [self[each] for each in range(*index.indices(len(self)))]
        payload = self.payloads[index]
        return Event(self, index if index >= 0 else index + len(self), payload)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({list(self)!r})"

    # What follows is asked for by `Event`.

    def _topic(self, index: int) -> str | None:
        columns = self._columns
        return (columns.topics[columns.topic_of[index]] or None) if columns.topics else None

    def _key(self, index: int) -> bytes:
        if not self._columns.key_ends:
            return b""
        if self._keys is None:
            self._keys = cut(self._columns.keys, self._columns.key_ends)
        return self._keys[index]

    def _headers(self, index: int) -> list[tuple[str, str]]:
        if not self._columns.headers:
            return []
        if self._named is None:
            self._named = {}
            for event, name, value in self._columns.headers:
                self._named.setdefault(event, []).append((name, value))
        return list(self._named.get(index, ()))

    def _seq(self, index: int) -> int:
        return index

    def _reject(self, rejection: Rejection) -> None:
        raise TypeError("only the events of a delivery can be rejected; refuse the call with forebay.Fatal or Retry")


class Delivery(Batch):
    """Events on their way into a consuming stage, with where they come from.

    (source, epoch, seq) names one event. A sink that writes to a database can refuse older writers
    by the epoch.
    """

    __slots__ = ("_numbers", "_runs", "attempt", "epoch", "rejections", "source")

    def __init__(self, given: DeliveryColumns) -> None:
        super().__init__(given.events)
        self.source = given.source
        """The stage that emitted the events, by its name in the pipeline."""
        self.epoch = given.epoch
        """The epoch of the source's claim: it rises with each new owner and each restart of the source."""
        self.attempt = given.attempt
        """1 the first time these events are delivered, one more each time they are delivered again."""
        self.rejections: list[Rejection] = []
        """What was rejected so far; `Event.reject` and `Event.retry` add to it."""
        self._runs = given.seqs
        self._numbers: list[int] | None = None

    @property
    def seqs(self) -> list[int]:
        """The numbers of all events, in order."""
        if self._numbers is None:
            self._numbers = list(chain.from_iterable(range(first, first + count) for first, count in self._runs))
        return self._numbers

    def _seq(self, index: int) -> int:
        return self.seqs[index]

    def _reject(self, rejection: Rejection) -> None:
        self.rejections.append(rejection)
