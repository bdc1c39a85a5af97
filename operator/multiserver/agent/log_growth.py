"""How fast the site's write-ahead log grows, measured over the last hour. Pure.

It says how long a peer may stay away: the backlog kept for it grows as fast as the log.
"""

from collections import deque
from datetime import datetime, timedelta

from multiserver.replication.observe import lsn_number

WINDOW = timedelta(hours=1)
SAMPLE_EVERY = timedelta(seconds=30)
MEASURED_MIN = timedelta(minutes=2)
"""A shorter time says little: an archived segment alone moves the log's end by 4 MiB."""


class LogGrowth:
    """The end of the log at some moments of the last hour."""

    def __init__(self) -> None:
        self._seen: deque[tuple[datetime, int]] = deque()

    def note(self, at: datetime, lsn: str) -> None:
        """Take note of the log's end. An end that lies before the last one, or a clock set back, begins anew."""
        position = lsn_number(lsn)
        if self._seen and (position < self._seen[-1][1] or at < self._seen[-1][0]):
            self._seen.clear()
        if not self._seen or at - self._seen[-1][0] >= SAMPLE_EVERY:
            self._seen.append((at, position))
        while at - self._seen[0][0] > WINDOW:
            self._seen.popleft()

    def bytes_per_second(self) -> float | None:
        """Give the mean over what was measured; None if that is too short to tell."""
        if not self._seen:
            return None
        (began, first), (ended, last) = self._seen[0], self._seen[-1]
        if ended - began < MEASURED_MIN:
            return None
        return (last - first) / (ended - began).total_seconds()
