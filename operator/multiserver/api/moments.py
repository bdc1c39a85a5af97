"""Times that a wrong clock has taken. Pure."""

from datetime import datetime, timedelta

CLOCK_TOLERANCE = timedelta(minutes=5)
"""How far a time may lie ahead before it counts as wrong: the clocks of two machines are never quite the same."""


def is_ahead(moment: datetime, now: datetime) -> bool:
    """Whether a time is still to come: the clock was wrong when it was taken, or is now, so its age is not known."""
    return moment - now > CLOCK_TOLERANCE


def still_to_come(moment: datetime) -> str:
    """Say of a time that is ahead what is wrong, in words that follow what bears it, such as "the backup is"."""
    return f"dated {moment:%Y-%m-%d %H:%M} UTC, which is still to come: the clock was wrong then, or is now"
