"""Asking sources for events, for a stage that decides itself when it wants more."""

from __future__ import annotations

from collections.abc import Callable

COUNT_MAX = 2**32 - 1
"""The most that is asked for at once. Unit: events."""

Sink = Callable[[str, int], None]


def _let_go(source: str, count: int) -> None:
    """Outside of a component and of a harness nobody is there to be asked."""


_sink: Sink = _let_go


def send_to(sink: Sink) -> Sink:
    """Sends asks elsewhere; gives where they went before. For the component's glue and the harness."""
    global _sink
    before, _sink = _sink, sink
    return before


def ask(source: str, count: int) -> None:
    """Asks a source, by its name in the pipeline, for `count` further events.

    `optional` in forebay.toml lists "demand", and the pipeline file subscribes to the source with
    `ask = "manual"`: of it nothing comes but what is asked for here, in as many calls of `handle_events` as
    the source makes of it.

    It may be called in `__init__` and in every call of a consumer or producer-consumer but `terminate`, and
    counts once that call has succeeded. At most the subscription's `max_demand` is open at a time, asked for
    and not handed over. What was asked for stays asked for when the source moves to another node. A fresh
    instance asks anew, in `__init__`: what is still open of a former one on the same node is part of it.

    Raises `forebay.Fatal` if there is no such subscription.
    """
    if not 0 <= count <= COUNT_MAX:
        raise ValueError(f"`count` is {count}; expected a number from 0 to {COUNT_MAX}")
    _sink(source, count)
