"""A producer of numbers whose state can move to another node."""

from __future__ import annotations

import re

import forebay
from numbering import Config, Numbers


class Checkpointed(forebay.Producer[Config], forebay.Checkpoint, forebay.Terminate):
    """Numbers from `start` on, or from a snapshot."""

    def __init__(self, context: forebay.Context[Config]) -> None:
        self.numbers = Numbers(context.config)

    def handle_demand(self, demand: int, events: forebay.Events) -> None:
        self.numbers.emit(demand, events)

    def snapshot(self) -> bytes:
        return b"%d" % self.numbers.next

    def restore(self, snapshot: bytes) -> None:
        # `int` alone takes `1_000` and spaces as well.
        if not re.fullmatch(rb"-?[0-9]+", snapshot):
            text = snapshot.decode(errors="replace")
            raise forebay.StageError(f"snapshot `{text}`: expected a number")
        self.numbers.next = int(snapshot)

    def terminate(self, reason: str) -> None:
        forebay.log.info(f"terminated: {reason}")
