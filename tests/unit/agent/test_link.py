from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from multiserver.agent.link import STALE_AFTER, Link
from multiserver.api.report import LinkState

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def at(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


def test_unknown_until_the_first_answer_or_failure() -> None:
    link = Link()
    assert link.state is LinkState.UNKNOWN
    assert link.answered(at(1), 2.0, 0.5).state is LinkState.CONNECTED
    assert link.failed(at(1), "connection refused").state is LinkState.CUT_OFF


def test_an_open_connection_alone_does_not_mean_connected() -> None:
    link = Link().connected(at(1), "7")
    assert link.state is LinkState.UNKNOWN
    assert link.last_connection == at(1)


def test_a_failure_says_since_when_and_why_and_keeps_what_was_last_known() -> None:
    link = Link().connected(at(1), "7").answered(at(2), 3.0, 4.0).failed(at(5), "no answer within 3 s")
    assert (link.state, link.since, link.message) == (LinkState.CUT_OFF, at(5), "no answer within 3 s")
    assert (link.last_connection, link.last_ping) == (at(1), at(2))


def test_an_answer_clears_the_reason() -> None:
    link = Link().failed(at(1), "connection refused").answered(at(2), 3.0, 4.0)
    assert (link.message, link.since, link.ping_milliseconds) == ("", at(2), 3.0)


@given(st.lists(st.booleans(), min_size=1))
def test_since_is_the_moment_of_the_last_change_of_state(answers: list[bool]) -> None:
    link = Link()
    for second, answered in enumerate(answers):
        link = link.answered(at(second), 1.0, 0.0) if answered else link.failed(at(second), "cut")
    same = next((i for i, answered in enumerate(reversed(answers)) if answered != answers[-1]), len(answers))
    assert link.since == at(len(answers) - same)
    assert link.observed_at == at(len(answers) - 1)


def test_a_view_that_is_too_old_is_unknown_since_it_was_last_known() -> None:
    link = Link().answered(at(0), 1.0, 0.0)
    assert link.seen_at(NOON + STALE_AFTER).state is LinkState.CONNECTED
    stale = link.seen_at(NOON + STALE_AFTER + timedelta(seconds=1))
    assert (stale.state, stale.since) == (LinkState.UNKNOWN, at(0))
    assert stale.message == "not tried since 2026-01-01 12:00:00 UTC"
    assert stale.last_ping == at(0)


def test_a_peer_that_was_never_tried_is_unknown() -> None:
    assert Link().seen_at(NOON).message == "not tried yet"


def test_a_view_from_the_future_as_a_clock_that_was_set_back_leaves_it_is_unknown() -> None:
    link = Link().answered(at(3600), 2.0, 0.5)
    assert link.seen_at(NOON).state is LinkState.UNKNOWN
