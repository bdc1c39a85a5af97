"""Waiting for what will be seen, instead of sleeping."""

import time
from collections.abc import Callable
from typing import TypeVar

from hack.common.command import CommandFailed

POLL_SECONDS = 0.5

Value = TypeVar("Value")


class NotSeenError(Exception):
    """What was waited for did not come in time; the text says what, and what was seen last."""


def wait_for(
    what: str,
    look: Callable[[], Value],
    *,
    until: Callable[[Value], bool],
    timeout_seconds: float,
    pause_seconds: float = POLL_SECONDS,
) -> Value:
    """Look again and again until what is seen is as wanted, and give it; there is at least one look.

    A look that fails (CommandFailed) counts as not yet. Raises NotSeenError.
    """
    deadline = time.monotonic() + timeout_seconds
    while True:
        try:
            seen: Value | CommandFailed = look()
        except CommandFailed as error:
            seen = error
        if not isinstance(seen, CommandFailed) and until(seen):
            return seen
        if time.monotonic() >= deadline:
            raise NotSeenError(f"{what}: not within {timeout_seconds:.0f} s; seen last: {seen}")
        time.sleep(pause_seconds)
