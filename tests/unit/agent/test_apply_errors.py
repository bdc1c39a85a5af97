from datetime import UTC, datetime, timedelta

from multiserver.agent.apply_errors import QUIET_AFTER, STUCK_AFTER, ApplyErrors

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def at(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


def after(*counts: int, step_seconds: float = 2) -> tuple[ApplyErrors, datetime]:
    """Note these counts of one link, one after the other; give the errors and the moment of the last count."""
    errors = ApplyErrors()
    for turn, count in enumerate(counts):
        errors.note({"multiserver_2": count}, at(turn * step_seconds))
    return errors, at((len(counts) - 1) * step_seconds)


def test_old_failures_say_nothing_about_now() -> None:
    errors, now = after(17, 17, 17)
    assert errors.stuck(now) == {}


def test_a_single_failure_is_not_a_stuck_link() -> None:
    errors, now = after(0, 1, *[1] * 20)
    assert errors.stuck(now) == {}


def test_a_link_that_fails_again_and_again_is_stuck_since_the_first_failure() -> None:
    errors, now = after(0, *range(1, 10))
    assert now - at(2) >= STUCK_AFTER
    assert errors.stuck(now) == {"multiserver_2": at(2)}


def test_a_link_that_stops_failing_is_not_stuck_any_more() -> None:
    errors, now = after(*range(10))
    errors.note({"multiserver_2": 9}, now + QUIET_AFTER + timedelta(seconds=1))
    assert errors.stuck(now + QUIET_AFTER + timedelta(seconds=1)) == {}


def test_failures_with_a_long_quiet_between_them_do_not_add_up() -> None:
    errors, now = after(0, 1, 2, 3, step_seconds=60)
    assert errors.stuck(now) == {}


def test_a_clock_that_is_set_back_hides_no_stuck_link_and_keeps_none_that_works_again() -> None:
    errors, before = after(*range(10))
    back = before - timedelta(days=1)
    assert errors.stuck(back) == {}
    for count in range(10, 20):
        errors.note({"multiserver_2": count}, back + timedelta(seconds=2 * count))
    assert errors.stuck(back + timedelta(seconds=38)) == {"multiserver_2": back + timedelta(seconds=20)}


def test_statistics_that_were_reset_are_no_failure() -> None:
    errors, now = after(9, 0, 0)
    assert errors.stuck(now) == {}


def test_a_subscription_that_was_dropped_is_forgotten() -> None:
    errors, now = after(*range(10))
    errors.note({}, now)
    assert errors.stuck(now) == {}
