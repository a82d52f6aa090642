"""Makes events of events: a greeting of each name."""

from __future__ import annotations

from dataclasses import dataclass

import forebay


@dataclass
class Config:
    """What the pipeline file may say under `config`."""

    greeting: str = "Hello"


class __Type__(forebay.ProducerConsumer[Config]):
    """The stage. The host makes one instance, and calls it with batches of events."""

    def handle_events(self, delivery: forebay.Delivery, events: forebay.Events) -> None:
        """Takes one batch and emits what it makes of it: fewer events, as many, or more."""
        for event in delivery:
            try:
                name = event.text
            except UnicodeDecodeError:
                event.reject("a name is UTF-8")
                continue
            # A copy with topic, key and headers, but another payload.
            events.push_event(event, f"{self.config.greeting}, {name}!")
