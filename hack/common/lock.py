"""A lock on a file, held by one process at a time and freed by the kernel when that process ends."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hack.common.progress import say


@contextmanager
def file_lock(path: Path) -> Iterator[None]:
    """Hold the lock `path` for the block; wait, and say so, while another process holds it.

    The file stays behind on purpose: removing it would let two processes each lock a file of that name.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f"waiting for another process that holds {path}")
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
