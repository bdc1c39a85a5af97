"""Whether archiving fails, from PostgreSQL's own counters."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from multiserver.backup.archive import ArchiverRow, judge

NOW = datetime(2026, 1, 5, 12, tzinfo=UTC)
EARLIER = NOW - timedelta(hours=1)
RESET = NOW - timedelta(days=1)
ARCHIVED = ArchiverRow("000000010000000000000001", NOW, None, None, RESET)
FAILING = ArchiverRow("000000010000000000000001", EARLIER, "000000010000000000000002", NOW, RESET)


def test_what_was_archived_last_is_told() -> None:
    report = judge(ARCHIVED)
    assert (report.last_archived, report.failing_since, report.message) == (NOW, None, "")


def test_a_failure_that_a_success_followed_is_past() -> None:
    assert judge(replace(ARCHIVED, last_failed_wal="x", last_failed_time=EARLIER)).failing_since is None


def test_failing_counts_from_the_last_moment_that_can_surely_be_restored() -> None:
    report = judge(FAILING, lambda: "the volume is full")
    assert report.failing_since == EARLIER
    assert report.message == "write-ahead log 000000010000000000000002: the volume is full"


def test_failing_from_the_start_counts_from_the_start() -> None:
    report = judge(replace(FAILING, last_archived_wal=None, last_archived_time=None))
    assert report.failing_since == RESET
    assert "see the log of the container postgres" in report.message


def test_nothing_to_archive_yet_is_no_failure() -> None:
    assert judge(ArchiverRow(None, None, None, None, RESET)).failing_since is None


def test_the_cause_is_looked_for_only_if_archiving_fails() -> None:
    def must_not_be_asked() -> str:
        raise AssertionError("archiving does not fail")

    judge(ARCHIVED, must_not_be_asked)
