"""Runs a stage in a plain test: no WebAssembly, no host.

    from forebay import testing

    def test_counts() -> None:
        stage = testing.producer(Counter, {"start": 5})
        assert stage.demand(3).texts == ["5", "6", "7"]

A harness makes the calls a host makes, refuses what a host refuses (`HostRefused`), and keeps what the
stage logged and asked for. What the stage raises comes out as it is, so `pytest.raises(forebay.Retry)` and
`assertRaises` work.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Generic, TypeVar

from forebay import demand, inspection, log
from forebay.batch import Batch, Rejection
from forebay.calls import Calls
from forebay.columns import Columns
from forebay.emit import Events, Payload
from forebay.stage import Consumer, Producer, ProducerConsumer, Stage

__all__ = [
    "ConsumerHarness",
    "Harness",
    "HostRefused",
    "LogLine",
    "ProducerConsumerHarness",
    "ProducerHarness",
    "Sent",
    "Source",
    "consumer",
    "delivery",
    "producer",
    "producer_consumer",
]

S = TypeVar("S", bound=Stage[Any])
P = TypeVar("P", bound=Producer[Any])
C = TypeVar("C", bound=Consumer[Any])
PC = TypeVar("PC", bound=ProducerConsumer[Any])
R = TypeVar("R")


class HostRefused(AssertionError):
    """The stage gave something that a host does not take."""


@dataclass(frozen=True)
class LogLine:
    """One line a stage logged."""

    level: log.Level
    message: str


@dataclass
class Setup:
    """The context a stage is started with, but for its config."""

    pipeline: str = "pipeline"
    stage: str = "stage"
    node: str = "node"
    instance: int = 0
    attributes: Mapping[str, str] = field(default_factory=dict)


@dataclass
class _Context:
    pipeline: str
    stage: str
    node: str
    instance: int
    config: str
    attributes: list[tuple[str, str]]


@dataclass
class Sent:
    """A delivery as a source's host sends it. May be delivered again, with `attempt` raised."""

    source: str
    epoch: int
    attempt: int
    seqs: list[tuple[int, int]]
    events: Columns


@dataclass
class Source:
    """Where deliveries come from: numbers events as the source's host does."""

    name: str = "source"
    epoch: int = 1
    attempt: int = 1
    next_seq: int = 0

    def send(self, events: Events | Iterable[Payload]) -> Sent:
        """Numbers events, or bare payloads, and makes a delivery of them."""
        if not isinstance(events, Events):
            payloads, events = events, Events()
            events.extend(payloads)
        first, count = self.next_seq, len(events)
        self.next_seq += count
        return Sent(self.name, self.epoch, self.attempt, [(first, count)], events._columns())


def delivery(events: Events | Iterable[Payload]) -> Sent:
    """A delivery from source `source`: epoch 1, attempt 1, numbers from 0. Others: `Source`."""
    return Source().send(events)


def producer(kind: type[P], config: object = None, setup: Setup | None = None) -> ProducerHarness[P]:
    """Starts a producer. The config is what the pipeline file has under `config`."""
    return ProducerHarness(kind, config, setup)


def consumer(kind: type[C], config: object = None, setup: Setup | None = None) -> ConsumerHarness[C]:
    """Starts a consumer. The config is what the pipeline file has under `config`."""
    return ConsumerHarness(kind, config, setup)


def producer_consumer(kind: type[PC], config: object = None, setup: Setup | None = None) -> ProducerConsumerHarness[PC]:
    """Starts a producer-consumer. The config is what the pipeline file has under `config`."""
    return ProducerConsumerHarness(kind, config, setup)


class Harness(Generic[S]):
    """A started stage, and the calls a host makes to stages of any role."""

    def __init__(self, kind: type[S], config: object, setup: Setup | None) -> None:
        inspection.check(kind)
        self.logs: list[LogLine] = []
        """The lines logged so far; `take_logs` empties it."""
        self.asks: list[tuple[str, int]] = []
        """What the stage asked for so far, (source, count); `take_asks` empties it."""
        setup = setup or Setup()
        attributes = list(setup.attributes.items())
        given = _Context(setup.pipeline, setup.stage, setup.node, setup.instance, json.dumps(config), attributes)
        self._calls = self._logged(lambda: Calls(kind, given))

    @property
    def stage(self) -> S:
        """The stage itself, to look at its state."""
        return self._calls.stage

    def take_logs(self) -> list[LogLine]:
        """The lines logged since the start or the last call of this method."""
        taken, self.logs = self.logs, []
        return taken

    def take_asks(self) -> list[tuple[str, int]]:
        """What the stage asked for by `forebay.ask` since the start or the last call of this method, in order.

        What a call asked for that failed is not there: a host lets go of it too.
        """
        taken, self.asks = self.asks, []
        return taken

    def tick(self) -> Batch:
        """Says that the `tick` interval has passed."""
        self._needs("timer")
        emitted = self._emitted(self._calls.tick)
        if isinstance(self.stage, Consumer) and len(emitted):
            raise HostRefused(f"a consumer emitted {len(emitted)} events in `handle_tick`; expected none")
        return emitted

    def ingest(self, events: Events | Iterable[Payload]) -> Batch:
        """Pushes events in from outside."""
        self._needs("ingest")
        columns = Source().send(events).events
        return self._emitted(lambda: self._calls.ingest(columns))

    def snapshot(self) -> bytes:
        """Takes a snapshot."""
        self._needs("checkpoint")
        return self._logged(self._calls.snapshot)

    def restore(self, snapshot: bytes) -> None:
        """Hands over a snapshot. A host does so before the first event."""
        self._needs("checkpoint")
        self._logged(lambda: self._calls.restore(snapshot))

    def ask(self, request: bytes | str) -> bytes:
        """Asks the stage something, as `forebay call` does."""
        self._needs("call")
        asked = request.encode() if isinstance(request, str) else request
        return self._logged(lambda: self._calls.call(asked))

    def terminate(self, reason: str) -> None:
        """Ends the stage in good order."""
        self._needs("terminate")
        self._logged(lambda: self._calls.terminate(reason))

    def _needs(self, ability: str) -> None:
        base = inspection.OPTIONAL[ability]
        if not isinstance(self.stage, base):
            raise HostRefused(
                f"`{type(self.stage).__name__}` is no `forebay.{base.__name__}`: a host does not make this call"
            )

    def _emitted(self, call: Callable[[], Columns]) -> Batch:
        columns = self._logged(call)
        _check_columns(columns)
        return Batch(columns)

    def _logged(self, call: Callable[[], R]) -> R:
        root, handler = logging.getLogger(), log.Handler()
        asks: list[tuple[str, int]] = []
        level = root.level
        before = log.send_to(lambda level, message: self.logs.append(LogLine(level, message)))
        asked_before = demand.send_to(lambda source, count: asks.append((source, count)))
        root.addHandler(handler)
        root.setLevel(min(level, logging.INFO) if level else logging.INFO)
        try:
            result = call()
            self.asks.extend(asks)
            return result
        finally:
            root.setLevel(level)
            root.removeHandler(handler)
            demand.send_to(asked_before)
            log.send_to(before)


class ProducerHarness(Harness[P]):
    """A started producer."""

    def demand(self, demand: int) -> Batch:
        """Asks for up to `demand` events."""
        if demand < 1:
            raise ValueError(f"a demand of {demand}; a host asks for at least 1 event")
        emitted = self._emitted(lambda: self._calls.demand(demand))
        if len(emitted) > demand:
            raise HostRefused(f"the stage emitted {len(emitted)} events for a demand of {demand}")
        return emitted


class ConsumerHarness(Harness[C]):
    """A started consumer."""

    def deliver(self, sent: Sent | Iterable[Payload]) -> list[Rejection]:
        """Hands over one batch, or bare payloads; gives what was rejected."""
        given = sent if isinstance(sent, Sent) else delivery(sent)
        rejections = self._logged(lambda: self._calls.deliver(given))
        _check_rejections(rejections, len(given.events.ends))
        return rejections


class ProducerConsumerHarness(Harness[PC]):
    """A started producer-consumer."""

    def transform(self, sent: Sent | Iterable[Payload]) -> Transformed:
        """Hands over one batch, or bare payloads; gives what the stage makes of it."""
        given = sent if isinstance(sent, Sent) else delivery(sent)
        columns, rejections = self._logged(lambda: self._calls.transform(given))
        _check_columns(columns)
        _check_rejections(rejections, len(given.events.ends))
        return Transformed(Batch(columns), rejections)


@dataclass
class Transformed:
    """What a producer-consumer made of one delivery."""

    events: Batch
    rejections: list[Rejection]


def _check_columns(columns: Columns) -> None:
    count = len(columns.ends)
    _check_ends("ends", columns.ends, len(columns.payloads), count)
    if columns.key_ends or columns.keys:
        _check_ends("key-ends", columns.key_ends, len(columns.keys), count)
    if len(columns.topic_of) != (count if columns.topics else 0):
        raise HostRefused(f"column `topic-of` has {len(columns.topic_of)} entries for {count} events")
    if any(not 0 <= topic < len(columns.topics) for topic in columns.topic_of):
        raise HostRefused(f"column `topic-of` refers to a topic that is none of {columns.topics}")
    if any(not 0 <= index < count for index, _, _ in columns.headers):
        raise HostRefused(f"a header belongs to none of the {count} events: {columns.headers}")


def _check_ends(column: str, ends: list[int], size: int, events: int) -> None:
    if len(ends) != events:
        raise HostRefused(f"column `{column}` has {len(ends)} entries for {events} events")
    if any(later < earlier for earlier, later in pairwise(ends)):
        raise HostRefused(f"column `{column}` falls: {ends}")
    if (ends[-1] if ends else 0) != size:
        raise HostRefused(f"the last of column `{column}` is {ends[-1] if ends else 0}, but there are {size} bytes")


def _check_rejections(rejections: list[Rejection], events: int) -> None:
    seen: set[int] = set()
    for rejection in rejections:
        if not 0 <= rejection.index < events:
            raise HostRefused(f"{rejection} names none of the {events} events")
        if rejection.index in seen:
            raise HostRefused(f"{rejection} rejects an event a second time")
        seen.add(rejection.index)
