"""Passes on the events that contain a text."""

from __future__ import annotations

from dataclasses import dataclass

import forebay


@dataclass
class Config:
    """What the pipeline file may say."""

    contains: str = ""


class Filter(forebay.ProducerConsumer[Config]):
    """Rejects what is no text, and puts off what says `later`."""

    def handle_events(self, delivery: forebay.Delivery, events: forebay.Events) -> None:
        for event in delivery:
            try:
                text = event.text
            except UnicodeDecodeError:
                event.reject("not UTF-8")
                continue
            if text == "later":
                event.retry("later")
            elif self.config.contains in text:
                events.push_event(event)
