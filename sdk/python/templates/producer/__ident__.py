"""A source of events: greets one name after the other, over and over."""

from __future__ import annotations

from dataclasses import dataclass, field

import forebay


@dataclass
class Config:
    """What the pipeline file may say under `config`."""

    names: list[str] = field(default_factory=lambda: ["world"])
    greeting: str = "Hello"

    def __post_init__(self) -> None:
        if not self.names:
            raise ValueError("`names` is empty; expected at least one")


class __Type__(forebay.Producer[Config]):
    """The stage. The host makes one instance, and calls it when events are wanted."""

    def __init__(self, context: forebay.Context[Config]) -> None:
        self.config = context.config
        self.next = 0

    def handle_demand(self, demand: int, events: forebay.Events) -> None:
        """Gives at most `demand` events. Fewer is fine: the host asks again after `poll`."""
        names = self.config.names
        events.push(f"{self.config.greeting}, {names[self.next % len(names)]}!")
        self.next += 1
