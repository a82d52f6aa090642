"""Numbers as events: what `counter` and `checkpointed` share."""

from __future__ import annotations

from dataclasses import dataclass

import forebay


@dataclass
class Config:
    """What the pipeline file may say."""

    start: int = 0
    step: int = 1
    limit: int | None = None
    payload_bytes: int | None = None

    def __post_init__(self) -> None:
        if self.step == 0:
            raise ValueError("`step` is 0; expected a whole number other than 0")
        for name in ("limit", "payload_bytes"):
            value = getattr(self, name)
            if value is not None and value < 0:
                raise ValueError(f"`{name}` is {value}; expected at least 0")


class Numbers:
    """Counts on."""

    def __init__(self, config: Config) -> None:
        self.next = config.start
        self._step = config.step
        self._left = config.limit
        self._width = config.payload_bytes or 0

    def emit(self, demand: int, events: forebay.Events) -> None:
        """Emits the next numbers: as many as are asked for and the limit leaves."""
        count = demand if self._left is None else min(demand, self._left)
        end = self.next + count * self._step
        events.extend(
            [b"%d" % number for number in range(self.next, end, self._step)] if not self._width else self._padded(end)
        )
        self.next = end
        if self._left is not None:
            self._left -= count

    def _padded(self, end: int) -> list[bytes]:
        width = self._width
        return [(b"%d" % number).rjust(width, b"0") for number in range(self.next, end, self._step)]
