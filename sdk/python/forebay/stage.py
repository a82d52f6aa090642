"""What a stage inherits from: one base for its role, and any of the optional ones.

The host makes one call at a time, so a stage needs no locks. `forebay.StageError` says what to raise.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Generic, TypeVar

from forebay.batch import Batch, Delivery
from forebay.context import Context
from forebay.emit import Events

C = TypeVar("C")
"""What the pipeline file may say under `config`: a dataclass, or `None` for nothing."""


class Stage(ABC, Generic[C]):
    """What the three roles share."""

    def __init__(self, context: Context[C]) -> None:
        """Starts the stage; a `StageError` stops the start. By default keeps `self.config`."""
        self.config = context.config


class Producer(Stage[C]):
    """A source of events."""

    @abstractmethod
    def handle_demand(self, demand: int, events: Events) -> None:
        """Adds up to `demand` events; `demand` is at least 1.

        Adding fewer, or none, is fine: the host remembers what was left open and asks again when the
        stage's `poll` interval has passed. Adding more is an error, and the host takes none of them.
        """


class Consumer(Stage[C]):
    """A sink of events."""

    @abstractmethod
    def handle_events(self, delivery: Delivery) -> None:
        """Takes one batch. The host acknowledges it to the source after the return, so whatever must
        outlive a crash has to be written by then.

        `event.reject` and `event.retry` name the events that could not be processed. After a
        `StageError` nothing of the batch counts as processed.
        """


class ProducerConsumer(Stage[C]):
    """A stage that makes events of events."""

    @abstractmethod
    def handle_events(self, delivery: Delivery, events: Events) -> None:
        """Takes one batch and emits what it makes of it: fewer events, as many, or more."""


class Checkpoint(ABC):
    """Optional: a stage whose state can move to another node."""

    @abstractmethod
    def snapshot(self) -> bytes:
        """The whole state after the last call, to be handed to `restore` of a later instance."""

    @abstractmethod
    def restore(self, snapshot: bytes) -> None:
        """Takes over what `snapshot` gave. Called after `__init__` and before anything else."""


class Timer(ABC):
    """Optional: a stage that acts by the clock."""

    @abstractmethod
    def handle_tick(self, events: Events) -> None:
        """Called each time the stage's `tick` interval has passed. A consumer adds no events."""


class Ingest(ABC):
    """Optional: a producer into which events can be pushed from outside."""

    @abstractmethod
    def handle_ingest(self, incoming: Batch, events: Events) -> None:
        """Takes events from outside; what is added to `events` is emitted in their place."""


class Call(ABC):
    """Optional: a stage that answers questions."""

    @abstractmethod
    def handle_call(self, request: bytes) -> bytes:
        """Answers one request. Both sides agree on the bytes; `forebay call` sends JSON.

        The text of a `StageError` goes to whoever asked.
        """


class Terminate(ABC):
    """Optional: a stage that wants to know of its end."""

    @abstractmethod
    def terminate(self, reason: str) -> None:
        """The last call of an instance that ends in good order; not made after a trap."""
