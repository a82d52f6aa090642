"""Emits every event several times."""

from __future__ import annotations

from dataclasses import dataclass

import forebay


@dataclass
class Config:
    """What the pipeline file may say."""

    copies: int = 2

    def __post_init__(self) -> None:
        if not 0 <= self.copies <= 1000:
            raise ValueError(f"`copies` is {self.copies}; expected 0 to 1000")


class Double(forebay.ProducerConsumer[Config]):
    """Every event `copies` times, in order."""

    def handle_events(self, delivery: forebay.Delivery, events: forebay.Events) -> None:
        copies = range(self.config.copies)
        for event in delivery:
            for _ in copies:
                events.push_event(event)
