"""Turns of the processes that run tests side by side: a test that takes the operator away is alone meanwhile."""

import fcntl
from pathlib import Path


class Turns:
    """Locks of this checkout, whose Kubernetes the processes share. A process ends its own when it ends."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._door = (folder / "e2e-door.lock").open("a")
        self._room = (folder / "e2e-room.lock").open("a")
        self._is_alone = False

    def begin(self, *, alone: bool) -> None:
        """Wait until the test may run. Who is to be alone waits in the door, so that nobody comes in any more."""
        if self._is_alone:
            return
        fcntl.flock(self._door, fcntl.LOCK_EX)
        fcntl.flock(self._room, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
        fcntl.flock(self._door, fcntl.LOCK_UN)
        self._is_alone = alone

    def end(self, *, next_alone: bool) -> None:
        """Let others in, unless the next test is to be alone too: its module may keep the operator away between."""
        if not (self._is_alone and next_alone):
            fcntl.flock(self._room, fcntl.LOCK_UN)
            self._is_alone = False
