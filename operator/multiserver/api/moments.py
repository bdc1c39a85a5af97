"""Moments: how a person reads them, and those that a wrong clock has taken. Pure."""

from datetime import UTC, datetime, timedelta

CLOCK_TOLERANCE = timedelta(minutes=5)
"""How far a time may lie ahead before it counts as wrong: the clocks of two machines are never quite the same."""


def moment(at: datetime) -> str:
    """Give a moment as a person reads it."""
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def is_ahead(at: datetime, now: datetime) -> bool:
    """Whether a time is still to come: the clock was wrong when it was taken, or is now, so its age is not known."""
    return at - now > CLOCK_TOLERANCE


def still_to_come(at: datetime) -> str:
    """Say of a time that is ahead what is wrong, in words that follow what bears it, such as "the backup is"."""
    return f"dated {at:%Y-%m-%d %H:%M} UTC, which is still to come: the clock was wrong then, or is now"
