"""What is known of the line to one peer, and how an answer or a failure changes it. Pure.

```
Unknown --answered--> Connected <--answered/failed--> CutOff
Unknown --failed----> CutOff
```
`since` moves only when the state does, so it says how long the line has been up or down.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from multiserver.api.moments import moment
from multiserver.api.report import LinkState

STALE_AFTER = timedelta(seconds=15)
"""A probe tries every few seconds, so a view older than this means that the probe itself is stuck."""


@dataclass(frozen=True)
class Link:
    """The line to one peer, as its observer sees it."""

    state: LinkState = LinkState.UNKNOWN
    since: datetime | None = None
    observed_at: datetime | None = None
    message: str = ""
    last_connection: datetime | None = None
    last_ping: datetime | None = None
    ping_milliseconds: float | None = None
    """Of the last answer, however long ago."""
    clock_offset_milliseconds: float | None = None
    """As last estimated."""
    system_id: str | None = None

    def connected(self, at: datetime, system_id: str) -> "Link":
        """A connection was opened; whether the peer goes on to answer is for the ping to say."""
        return replace(self, last_connection=at, system_id=system_id)

    def answered(self, at: datetime, ping_milliseconds: float, clock_offset_milliseconds: float | None) -> "Link":
        """Take note of the peer's answer."""
        return replace(
            self._moved(LinkState.CONNECTED, at),
            message="",
            last_ping=at,
            ping_milliseconds=ping_milliseconds,
            clock_offset_milliseconds=clock_offset_milliseconds,
        )

    def failed(self, at: datetime, message: str) -> "Link":
        """Take note that connecting or asking failed."""
        return replace(self._moved(LinkState.CUT_OFF, at), message=message)

    def seen_at(self, now: datetime) -> "Link":
        """Give what may be said now: a view that is too old says no longer whether the line is up or down."""
        if self.observed_at is not None and abs(now - self.observed_at) <= STALE_AFTER:
            return self
        tried = f"not tried since {moment(self.observed_at)}" if self.observed_at else "not tried yet"
        return replace(self, state=LinkState.UNKNOWN, since=self.observed_at, message=tried)

    def _moved(self, state: LinkState, at: datetime) -> "Link":
        since = self.since if state is self.state else at
        return replace(self, state=state, since=since, observed_at=at)
