"""Joins events, so many at a time."""

from __future__ import annotations

from dataclasses import dataclass

import forebay


@dataclass
class Config:
    """What the pipeline file may say."""

    size: int = 3
    ask: str | None = None

    def __post_init__(self) -> None:
        if self.size < 1:
            raise ValueError(f"`size` is {self.size}; expected at least 1")


class Batcher(forebay.ProducerConsumer[Config], forebay.Timer):
    """Emits one event for every `size`, and what is left when the clock ticks. Asks for as many as it joins."""

    def __init__(self, context: forebay.Context[Config]) -> None:
        self.size = context.config.size
        self.source = context.config.ask
        self.kept: list[bytes] = []
        self._ask(self.size)

    def handle_events(self, delivery: forebay.Delivery, events: forebay.Events) -> None:
        for event in delivery:
            self.kept.append(event.payload)
            if len(self.kept) == self.size:
                self._flush(events)

    def handle_tick(self, events: forebay.Events) -> None:
        if self.kept:
            self._flush(events)

    def _flush(self, events: forebay.Events) -> None:
        events.push(b",".join(self.kept))
        self._ask(len(self.kept))
        self.kept.clear()

    def _ask(self, count: int) -> None:
        if self.source is not None:
            forebay.ask(self.source, count)
