"""A consumer that does wrong when it is told to."""

from __future__ import annotations

from dataclasses import dataclass

import forebay

MODES = ["ok", "retry", "fatal", "other", "trap", "spin", "allocate", "outside", "twice", "flood", "init"]


@dataclass
class Config:
    """What the pipeline file may say."""

    mode: str = "ok"

    def __post_init__(self) -> None:
        if self.mode not in MODES:
            raise ValueError(f"`mode` is {self.mode!r}; expected one of {', '.join(MODES)}")


class Misbehaver(forebay.Consumer[Config]):
    """Logs what it gets; `go` makes it misbehave, `no` is rejected."""

    def __init__(self, context: forebay.Context[Config]) -> None:
        self.mode = context.config.mode
        if self.mode == "init":
            raise forebay.Fatal("told to fail")

    def handle_events(self, delivery: forebay.Delivery) -> None:
        for event in delivery:
            payload = event.payload.decode(errors="replace")
            forebay.log.info(payload)
            if payload == "no":
                event.reject("no")
            elif payload == "go":
                self._misbehave(event, delivery)

    def _misbehave(self, event: forebay.Event, delivery: forebay.Delivery) -> None:
        match self.mode:
            case "retry":
                raise forebay.Retry("told to")
            case "fatal":
                raise forebay.Fatal("told to")
            case "other":
                raise forebay.Other("told to")
            case "trap":
                raise RuntimeError("told to trap")
            case "spin":
                while True:
                    pass
            case "allocate":
                _allocate()
            case "outside":
                delivery.rejections.append(forebay.Rejection(4_294_967_295, False, "told to"))
            case "twice":
                event.reject("told to")
                event.reject("told to")
            case "flood":
                for number in range(10_000):
                    forebay.log.info(f"line {number}")


def _allocate() -> None:
    """Takes memory, and touches it, until it is refused."""
    taken = []
    while True:
        taken.append(b"x" * 1_048_576)
