"""What a stage raises to tell the host that a call failed as a whole.

Any other exception that leaves a handler is a mistake in the stage: it is logged with its traceback and
ends the instance, which the host starts again by the restart policy.
"""


class StageError(Exception):
    """The base of the three below; raised as it is, it counts as `Other`.

    From `__init__`, `snapshot`, `restore` and `handle_call` only the text reaches the other side.
    """


class Retry(StageError):
    """A passing trouble: the host makes the call again, later."""


class Fatal(StageError):
    """The stage cannot go on: the host ends this instance and applies the restart policy."""


class Other(StageError):
    """Anything else; treated as `Fatal`."""
