"""How far a peer's clock is from the own one, estimated from round trips. Pure.

A question leaves at `sent`, the peer reads its clock somewhere on the way, the answer comes at `received`. With equal
delays both ways the peer read its clock in the middle; the error is at most half the round trip. So the estimate of the
shortest round trip of the last few is the best one.
"""

from collections import deque
from dataclasses import dataclass
from datetime import datetime

ROUND_TRIPS_MAX = 20
"""A window of about twenty seconds: long enough to catch a quick round trip, short enough to follow a set clock."""


@dataclass(frozen=True)
class RoundTrip:
    """One question for the time and its answer."""

    sent: datetime
    """The own clock when the question left."""
    duration_seconds: float
    """Measured on a clock that cannot be set."""
    remote: datetime
    """What the peer's clock said."""

    @property
    def offset_seconds(self) -> float:
        """The peer's clock minus the own one; wrong by at most half the duration."""
        return (self.remote - self.sent).total_seconds() - self.duration_seconds / 2


class OffsetWindow:
    """The last round trips to one peer."""

    def __init__(self) -> None:
        self._trips: deque[RoundTrip] = deque(maxlen=ROUND_TRIPS_MAX)

    def add(self, trip: RoundTrip) -> None:
        """Remember a round trip and forget the oldest beyond the window."""
        self._trips.append(trip)

    def clear(self) -> None:
        """Forget all: the line was cut, and either clock may have been set meanwhile."""
        self._trips.clear()

    @property
    def offset_seconds(self) -> float | None:
        """The best estimate; None without any round trip."""
        if not self._trips:
            return None
        return min(self._trips, key=lambda trip: trip.duration_seconds).offset_seconds
