"""The calls a host makes, on a stage's class: what the component's glue and the test harness share."""

from __future__ import annotations

from typing import Any, Generic, TypeVar

from forebay.batch import Batch, Delivery, Rejection
from forebay.columns import BatchColumns, Columns, ContextFields, DeliveryColumns
from forebay.config import ConfigError, parse
from forebay.context import context_of
from forebay.emit import Events
from forebay.errors import Fatal
from forebay.inspection import config_type
from forebay.stage import Stage

S = TypeVar("S", bound=Stage[Any])


class Calls(Generic[S]):
    """A started stage. What a call raises comes out as it is."""

    def __init__(self, kind: type[S], given: ContextFields) -> None:
        try:
            config = parse(given.config, config_type(kind))
        except ConfigError as error:
            raise Fatal(f"config of stage `{given.stage}`: {error}") from error
        self.stage: S = kind(context_of(given, config))
        # Bound here, for the types of the stage's methods depend on its role and its abilities.
        self._made: Any = self.stage

    def demand(self, demand: int) -> Columns:
        """`handle-demand`."""
        events = Events()
        _nothing(self._made.handle_demand(demand, events), "handle_demand")
        return events._columns()

    def deliver(self, given: DeliveryColumns) -> list[Rejection]:
        """`handle-events` of a consumer."""
        delivery = Delivery(given)
        _nothing(self._made.handle_events(delivery), "handle_events")
        return delivery.rejections

    def transform(self, given: DeliveryColumns) -> tuple[Columns, list[Rejection]]:
        """`handle-events` of a producer-consumer."""
        delivery, events = Delivery(given), Events()
        _nothing(self._made.handle_events(delivery, events), "handle_events")
        return events._columns(), delivery.rejections

    def tick(self) -> Columns:
        """`handle-tick`."""
        events = Events()
        _nothing(self._made.handle_tick(events), "handle_tick")
        return events._columns()

    def ingest(self, given: BatchColumns) -> Columns:
        """`handle-ingest`."""
        events = Events()
        _nothing(self._made.handle_ingest(Batch(given), events), "handle_ingest")
        return events._columns()

    def snapshot(self) -> bytes:
        """`snapshot`."""
        return _bytes(self._made.snapshot(), "snapshot")

    def restore(self, snapshot: bytes) -> None:
        """`restore`."""
        _nothing(self._made.restore(snapshot), "restore")

    def call(self, request: bytes) -> bytes:
        """`handle-call`."""
        return _bytes(self._made.handle_call(request), "handle_call")

    def terminate(self, reason: str) -> None:
        """`terminate`."""
        _nothing(self._made.terminate(reason), "terminate")


def _nothing(returned: object, method: str) -> None:
    if returned is not None:
        raise TypeError(f"`{method}` returned {type(returned).__name__}; expected None: events go to `events.push`")


def _bytes(returned: object, method: str) -> bytes:
    if isinstance(returned, (bytes, bytearray, memoryview)):
        return bytes(returned)
    raise TypeError(f"`{method}` returned {type(returned).__name__}; expected bytes")
