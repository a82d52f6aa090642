"""Stages of Forebay pipelines in Python.

A stage is a class that inherits from the base of its role, and from those of its optional abilities:

    import forebay

    class Greeter(forebay.Consumer[None]):
        def handle_events(self, delivery: forebay.Delivery) -> None:
            for event in delivery:
                forebay.log.info(f"Hello, {event.text}!")

`forebay build` makes a component of it. Natively, in tests and editors, it is a class like any other;
`forebay.testing` makes the calls a host makes.
"""

from forebay import log
from forebay.batch import Batch, Delivery, Event, Rejection
from forebay.config import ConfigError
from forebay.context import Context
from forebay.demand import ask
from forebay.emit import Events
from forebay.errors import Fatal, Other, Retry, StageError
from forebay.stage import Call, Checkpoint, Consumer, Ingest, Producer, ProducerConsumer, Terminate, Timer

__version__ = "0.1.0"

__all__ = [
    "Batch",
    "Call",
    "Checkpoint",
    "ConfigError",
    "Consumer",
    "Context",
    "Delivery",
    "Event",
    "Events",
    "Fatal",
    "Ingest",
    "Other",
    "Producer",
    "ProducerConsumer",
    "Rejection",
    "Retry",
    "StageError",
    "Terminate",
    "Timer",
    "ask",
    "log",
]
