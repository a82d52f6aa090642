"""A sink of events: greets each name it gets."""

from __future__ import annotations

from dataclasses import dataclass

import forebay


@dataclass
class Config:
    """What the pipeline file may say under `config`."""

    greeting: str = "Hello"


class __Type__(forebay.Consumer[Config]):
    """The stage. The host makes one instance, and calls it with batches of events."""

    def handle_events(self, delivery: forebay.Delivery) -> None:
        """Takes one batch. It counts as processed when this returns, except for what is rejected."""
        for event in delivery:
            try:
                name = event.text
            except UnicodeDecodeError:
                event.reject("a name is UTF-8")
                continue
            print(f"{self.config.greeting}, {name}!")
