"""A producer of numbers, into which events can be pushed and which can be asked."""

from __future__ import annotations

import json

import forebay
from numbering import Config, Numbers


class Counter(forebay.Producer[Config], forebay.Ingest, forebay.Call):
    """Numbers from `start` on."""

    def __init__(self, context: forebay.Context[Config]) -> None:
        self.numbers = Numbers(context.config)

    def handle_demand(self, demand: int, events: forebay.Events) -> None:
        self.numbers.emit(demand, events)

    def handle_ingest(self, incoming: forebay.Batch, events: forebay.Events) -> None:
        for event in incoming:
            events.push(event.payload, topic="ingested", key=event.key, headers=event.headers)

    def handle_call(self, request: bytes) -> bytes:
        match _read(request):
            case {"set": int(number), **rest} if not rest and not isinstance(number, bool):
                self.numbers.next = number
            case dict(empty) if not empty:
                pass
            case _:
                raise forebay.StageError(f"unknown request: {request.decode(errors='replace')}")
        return b'{"next":%d}' % self.numbers.next


def _read(request: bytes) -> object:
    try:
        return json.loads(request)
    except ValueError:
        return None
