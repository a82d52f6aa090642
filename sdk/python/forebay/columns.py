"""Events as they cross the border between host and stage: one column for each field.

Event `i` has the payload `payloads[ends[i - 1]:ends[i]]`. `topics` and `topic_of` are empty when no
event has a topic, `key_ends` when none has a key. The binding that componentize-py makes of the WIT has
the same attributes, so nothing is converted on the way in or out.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol


class BatchColumns(Protocol):
    """What the host hands over, and what it takes: `forebay:stage/types.batch`."""

    payloads: bytes
    ends: list[int]
    topics: list[str]
    topic_of: list[int]
    keys: bytes
    key_ends: list[int]
    headers: list[tuple[int, str, str]]


class DeliveryColumns(Protocol):
    """`forebay:stage/types.delivery`, but for its events, which a binding has as a class of its own."""

    source: str
    epoch: int
    attempt: int
    seqs: list[tuple[int, int]]

    @property
    def events(self) -> BatchColumns:
        """The events."""


class ContextFields(Protocol):
    """`forebay:stage/types.context`."""

    pipeline: str
    stage: str
    node: str
    instance: int
    config: str
    attributes: list[tuple[str, str]]


class Columns:
    """The columns of a batch, filled by `forebay.Events`."""

    __slots__ = ("ends", "headers", "key_ends", "keys", "payloads", "topic_of", "topics")

    def __init__(
        self,
        payloads: bytes = b"",
        ends: list[int] | None = None,
        topics: list[str] | None = None,
        topic_of: list[int] | None = None,
        keys: bytes = b"",
        key_ends: list[int] | None = None,
        headers: list[tuple[int, str, str]] | None = None,
    ) -> None:
        self.payloads = payloads
        self.ends = ends or []
        self.topics = topics or []
        self.topic_of = topic_of or []
        self.keys = keys
        self.key_ends = key_ends or []
        self.headers = headers or []


def cut(data: bytes, ends: Sequence[int]) -> list[bytes]:
    """The pieces of `data` that end at `ends`."""
    start = 0
    pieces: list[bytes] = []
    append = pieces.append
    for end in ends:
        append(data[start:end])
        start = end
    return pieces
