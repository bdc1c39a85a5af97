from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from multiserver.agent.clock_offset import ROUND_TRIPS_MAX, OffsetWindow, RoundTrip

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
delays = st.floats(min_value=0, max_value=3)
offsets = st.floats(min_value=-1e6, max_value=1e6)
MICROSECOND = 2e-6
"""A datetime is no finer; two of them are rounded here."""


def trip(offset: float, there: float, back: float, sent: datetime = NOON) -> RoundTrip:
    return RoundTrip(sent, there + back, sent + timedelta(seconds=there + offset))


def test_nothing_is_known_before_the_first_round_trip() -> None:
    assert OffsetWindow().offset_seconds is None


@given(offsets, delays)
def test_equal_delays_give_the_exact_offset(offset: float, delay: float) -> None:
    assert abs(trip(offset, delay, delay).offset_seconds - offset) < MICROSECOND


@given(offsets, st.lists(st.tuples(delays, delays), min_size=1, max_size=60))
def test_the_error_is_at_most_half_the_shortest_of_the_last_round_trips(
    offset: float, line: list[tuple[float, float]]
) -> None:
    window = OffsetWindow()
    for there, back in line:
        window.add(trip(offset, there, back))
    shortest = min(there + back for there, back in line[-ROUND_TRIPS_MAX:])
    assert window.offset_seconds is not None
    assert abs(window.offset_seconds - offset) <= shortest / 2 + MICROSECOND


@given(offsets, offsets)
def test_a_clock_that_was_set_is_believed_after_one_window(before: float, after: float) -> None:
    window = OffsetWindow()
    window.add(trip(before, 0, 0))
    for _ in range(ROUND_TRIPS_MAX):
        window.add(trip(after, 0.1, 0.1))
    assert window.offset_seconds is not None
    assert abs(window.offset_seconds - after) < MICROSECOND


def test_a_cut_line_makes_old_round_trips_worthless() -> None:
    window = OffsetWindow()
    window.add(trip(5, 0, 0))
    window.clear()
    assert window.offset_seconds is None
