"""Progress for people: one line when a slow step starts, one with its seconds when it ends, all on stderr."""

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

HEARTBEAT_SECONDS = 30.0
"""How often a step that goes on says so."""


def say(text: str) -> None:
    """Print one line of progress; stdout stays free for results."""
    print(text, file=sys.stderr, flush=True)


@contextmanager
def step(title: str) -> Iterator[None]:
    """Announce a slow step and say how many seconds it took, also when it failed."""
    say(f"{title} ...")
    started_at = time.monotonic()
    ended = threading.Event()
    heartbeat = threading.Thread(target=_repeat, args=(title, started_at, ended), daemon=True)
    heartbeat.start()
    outcome = "failed after"
    try:
        yield
        outcome = "done in"
    finally:
        ended.set()
        say(f"{title}: {outcome} {time.monotonic() - started_at:.1f} s")


def _repeat(title: str, started_at: float, ended: threading.Event) -> None:
    while not ended.wait(HEARTBEAT_SECONDS):
        say(f"{title}: {time.monotonic() - started_at:.0f} s so far")
