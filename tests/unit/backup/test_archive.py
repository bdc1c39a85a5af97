"""Whether archiving fails, from PostgreSQL's own counters and the segments that wait."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from multiserver.backup.archive import STARTS_MAX, WAITS_MAX, ArchiverRow, judge

NOW = datetime(2026, 1, 5, 12, tzinfo=UTC)
EARLIER = NOW - timedelta(hours=1)
FUTURE = NOW + timedelta(days=365)
SECOND = timedelta(seconds=1)
FIRST, NEXT, LATER = (f"00000001000000000000000{number}" for number in (1, 2, 3))
ARCHIVED = ArchiverRow(FIRST, NOW - SECOND, None, None, None, None, NOW - timedelta(days=1), NOW)
WAITING = replace(ARCHIVED, waiting_wal=NEXT, waiting_since=NOW - SECOND)
FAILING = replace(WAITING, last_failed_wal=NEXT, last_failed_time=NOW)
HANGING = replace(WAITING, last_archived_time=EARLIER - SECOND, waiting_since=EARLIER)


def test_what_was_archived_last_is_told() -> None:
    report = judge(ARCHIVED)
    assert (report.last_archived, report.failing_since, report.message) == (NOW - SECOND, None, "")


def test_a_failure_whose_segment_waits_no_more_is_past() -> None:
    assert judge(replace(FAILING, waiting_wal=None, waiting_since=None)).failing_since is None
    assert judge(replace(FAILING, waiting_wal=LATER)).failing_since is None
    assert judge(replace(FAILING, waiting_since=None)).failing_since is None, "it was archived as we asked"


def test_failing_counts_from_when_the_oldest_segment_waits() -> None:
    report = judge(replace(FAILING, waiting_since=EARLIER), lambda: "the volume is full")
    assert report.failing_since == EARLIER
    assert report.message == f"write-ahead log {NEXT}: the volume is full"


def test_archiving_that_never_worked_is_told() -> None:
    report = judge(replace(FAILING, last_archived_wal=None, last_archived_time=None))
    assert report.failing_since == NOW - SECOND
    assert "see the log of the container postgres" in report.message


def test_a_new_site_has_a_minute_to_make_its_repository() -> None:
    new = replace(FAILING, last_archived_wal=None, last_archived_time=None)
    assert judge(replace(new, started_at=NOW - STARTS_MAX + SECOND)).failing_since is None
    assert judge(replace(new, started_at=NOW - STARTS_MAX)).failing_since == NOW - SECOND
    assert judge(replace(new, started_at=FUTURE)).failing_since == NOW - SECOND, "its clock was wrong"
    assert judge(replace(FAILING, started_at=NOW - SECOND)).failing_since == NOW - SECOND, "it is not new"


@pytest.mark.parametrize("since", [NOW - SECOND, FUTURE])
def test_a_success_dated_in_the_future_hides_no_failure(since: datetime) -> None:
    report = judge(replace(FAILING, last_archived_time=FUTURE, waiting_since=since))
    assert report.last_archived is None
    assert report.failing_since in (NOW - SECOND, NOW)


def test_nothing_to_archive_yet_is_no_failure() -> None:
    assert judge(replace(ARCHIVED, last_archived_wal=None, last_archived_time=None)).failing_since is None


def test_a_segment_that_waits_for_long_is_told_although_no_failure_was_counted() -> None:
    report = judge(HANGING)
    assert report.failing_since == EARLIER
    assert report.message.startswith(f"write-ahead log {NEXT}: it waits, and PostgreSQL counts no failure: the program")


def test_the_cause_of_waiting_is_told_if_it_is_known() -> None:
    assert judge(HANGING, lambda: "the volume is full").message == f"write-ahead log {NEXT}: the volume is full"


def test_archiving_that_does_not_keep_up_is_told_as_such() -> None:
    assert "faster than it is archived" in judge(replace(HANGING, last_archived_time=NOW - SECOND)).message


def test_a_segment_may_wait_for_a_while() -> None:
    assert judge(replace(HANGING, waiting_since=NOW - WAITS_MAX)).failing_since is None


def test_a_server_that_was_away_has_time_to_archive_what_waited_meanwhile() -> None:
    assert judge(replace(HANGING, started_at=NOW - SECOND)).failing_since is None


def test_a_segment_that_waits_since_a_time_still_to_come_is_not_shown_as_well() -> None:
    report = judge(replace(HANGING, waiting_since=FUTURE))
    assert report.failing_since is None
    assert report.message == (
        f"write-ahead log {NEXT} waits and is dated 2027-01-05 12:00 UTC, which is still to come: the clock was wrong "
        "then, or is now"
    )


@pytest.mark.parametrize("row", [ARCHIVED, WAITING])
def test_the_cause_is_looked_for_only_if_archiving_fails(row: ArchiverRow) -> None:
    def must_not_be_asked() -> str:
        raise AssertionError("archiving does not fail")

    judge(row, must_not_be_asked)
