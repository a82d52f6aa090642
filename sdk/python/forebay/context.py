"""What a stage is told about itself when it starts."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Generic, TypeVar

from forebay.columns import ContextFields

C = TypeVar("C")


@dataclass(frozen=True)
class Context(Generic[C]):
    """What a stage is told about itself when it starts, with its config as the type it named."""

    pipeline: str
    """The pipeline's name."""
    stage: str
    """The stage's name in the pipeline."""
    node: str
    """The name of the node it runs on."""
    instance: int
    """Which instance of the stage on this node, from 0."""
    config: C
    """The stage's config."""
    attributes: dict[str, str] = field(default_factory=dict)
    """Further facts that a later host may add."""


def context_of(given: ContextFields, config: C) -> Context[C]:
    """The context a host hands over, with the config that was read from it."""
    attributes = dict(given.attributes)
    return Context(given.pipeline, given.stage, given.node, given.instance, config, attributes)
