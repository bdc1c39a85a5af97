"""Which links cannot apply a change, judged from PostgreSQL's counts of apply errors. Pure.

A count that rose once says little: a line broke, or a row came before the schema change that it needs. A link is stuck
if its count goes on rising, for then the same change fails at each try and everything behind it waits.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

STUCK_AFTER = timedelta(seconds=10)
QUIET_AFTER = timedelta(seconds=20)
"""A link that had no error for so long works again; a failing worker is restarted within a few seconds."""


def _is_recent(error: datetime, now: datetime) -> bool:
    """Whether an error still says how the link is; one of the future was noted before the clock was set back."""
    return timedelta(0) <= now - error <= QUIET_AFTER


@dataclass(frozen=True)
class _Errors:
    count: int
    first: datetime | None = None
    last: datetime | None = None

    def noted(self, count: int, at: datetime) -> "_Errors":
        if count <= self.count:
            return _Errors(count, self.first, self.last)
        goes_on = self.last is not None and _is_recent(self.last, at)
        return _Errors(count, self.first if goes_on else at, at)


class ApplyErrors:
    """The counts of all links and how they rose."""

    def __init__(self) -> None:
        self._errors: dict[str, _Errors] = {}

    def note(self, counts: Mapping[str, int], at: datetime) -> None:
        """Take in the present count of each subscription."""
        self._errors = {name: self._errors.get(name, _Errors(count)).noted(count, at) for name, count in counts.items()}

    def stuck(self, now: datetime) -> dict[str, datetime]:
        """Give the subscriptions that cannot apply a change, with the moment of the first failure."""
        return {
            name: errors.first
            for name, errors in self._errors.items()
            if errors.first
            and errors.last
            and _is_recent(errors.last, now)
            and errors.last - errors.first >= STUCK_AFTER
        }
