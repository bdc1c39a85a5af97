"""How fast the log grows: the mean of the last hour, and nothing where it is not known."""

from datetime import timedelta

from multiserver.agent.log_growth import LogGrowth
from tests.unit.agent.sightings import NOON

MINUTE = timedelta(minutes=1)


def lsn(position: int) -> str:
    return f"{position >> 32:X}/{position & 0xFFFFFFFF:X}"


def noted(*ends: tuple[float, int]) -> LogGrowth:
    """Growth of a log that had these ends, each so many minutes after noon."""
    growth = LogGrowth()
    for minutes, position in ends:
        growth.note(NOON + minutes * MINUTE, lsn(position))
    return growth


def test_it_is_the_mean_over_what_was_measured():
    assert noted((0, 0), (5, 60_000), (10, 600_000)).bytes_per_second() == 1000


def test_only_the_last_hour_counts():
    assert noted((0, 0), (30, 1 << 33), (90, (1 << 33) + 3600)).bytes_per_second() == 1


def test_a_minute_is_too_short_to_tell():
    assert LogGrowth().bytes_per_second() is None
    assert noted((0, 0), (1, 1000)).bytes_per_second() is None


def test_a_log_that_was_put_back_is_measured_anew():
    assert noted((0, 1 << 30), (5, 1 << 20)).bytes_per_second() is None
