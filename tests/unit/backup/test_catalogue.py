"""What the repositories list, and what follows from it."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from multiserver.api.report import BackupReport
from multiserver.backup.catalogue import (
    data_report,
    files_report,
    full_kept,
    next_type,
    parse_info,
    parse_snapshots,
    with_failure,
)
from multiserver.backup.errors import BackupError

NOW = datetime(2026, 1, 5, 12, tzinfo=UTC)
FUTURE = timedelta(days=-365)
"""The age of what was made while the clock was a year ahead."""


def data_backup(label: str, kind: str, age: timedelta, database: int = 1) -> dict[str, Any]:
    """Give a backup as pgBackRest lists it."""
    stop = int((NOW - age).timestamp())
    return {
        "label": label,
        "type": kind,
        "database": {"id": database},
        "timestamp": {"start": stop - 7, "stop": stop},
        "info": {"size": 5000},
    }


def info(
    *backups: dict[str, Any],
    databases: tuple[int, ...] = (71,),
    code: int = 0,
    message: str = "ok",
    repository: str = "ok",
) -> str:
    """Give pgBackRest's answer; `databases` are the identifiers of those that the site has had."""
    repositories = [{"status": {"code": code, "message": repository}}]
    known = [{"id": number, "system-id": identifier} for number, identifier in enumerate(databases, 1)]
    status = {"code": code, "message": message}
    return json.dumps([{"backup": backups, "db": known, "status": status, "repo": repositories}])


def test_the_newest_backup_of_the_data_is_reported() -> None:
    older, newer = data_backup("1F", "full", timedelta(days=2)), data_backup("1F_2I", "incr", timedelta(hours=3))
    assert data_report(parse_info(info(newer, older)), NOW) == BackupReport(
        last_success=NOW - timedelta(hours=3),
        last_label="1F_2I",
        last_size_bytes=5000,
        last_duration_seconds=7,
        count=2,
    )


def test_backups_of_a_lost_volumes_database_do_not_count_as_the_sites_newest() -> None:
    prior = data_backup("1F", "full", timedelta(hours=3))
    stanza = parse_info(info(prior, databases=(71, 72)))
    report = data_report(stanza, NOW)
    assert report.message.startswith("the newest, 1F, is of the database that this site had before")
    assert report.last_success == NOW - timedelta(hours=3), "it ages until it is overdue"
    assert next_type(stanza, NOW) == "full"
    present = data_backup("2F", "full", timedelta(hours=1), database=2)
    assert data_report(parse_info(info(prior, present, databases=(71, 72))), NOW).last_label == "2F"


def test_backups_that_a_database_was_restored_from_are_its_own() -> None:
    before, empty = data_backup("1F", "full", timedelta(hours=3)), data_backup("2F", "full", timedelta(hours=1), 2)
    assert data_report(parse_info(info(before, empty, databases=(71, 72, 71))), NOW).last_label == "1F"


@pytest.mark.parametrize("code", [1, 2])
def test_a_repository_without_backups_is_no_fault(code: int) -> None:
    assert data_report(parse_info(info(code=code, message="no valid backups")), NOW) == BackupReport()


def test_a_repository_that_cannot_be_read_is_a_fault_in_one_line() -> None:
    damaged = info(code=99, message="other", repository="[PathOpenError] no such:\nHINT: \x10")
    report = data_report(parse_info(damaged), NOW)
    assert report == BackupReport(message="[PathOpenError] no such")


def damaged(backup: dict[str, Any]) -> dict[str, Any]:
    """Give the backup with broken pages in it."""
    return {**backup, "error": True}


def test_wrong_checksums_of_pages_are_told() -> None:
    listed = damaged(data_backup("1F", "full", timedelta(0)))
    assert "wrong checksums" in data_report(parse_info(info(listed)), NOW).damage


def test_a_backup_with_broken_pages_is_no_success() -> None:
    sound, broken = data_backup("1F", "full", timedelta(days=2)), damaged(data_backup("2F", "full", timedelta(hours=3)))
    report = data_report(parse_info(info(sound, broken)), NOW)
    assert (report.last_success, report.last_label, report.count) == (NOW - timedelta(days=2), "1F", 2)


def test_broken_pages_are_told_no_more_once_a_backup_is_sound_or_the_database_another() -> None:
    broken = damaged(data_backup("1F", "full", timedelta(hours=3)))
    mended = data_backup("1F_2I", "incr", timedelta(hours=1))
    assert data_report(parse_info(info(broken, mended)), NOW).damage == ""
    assert data_report(parse_info(info(broken, databases=(71, 72))), NOW).damage == ""


@pytest.mark.parametrize("text", ["", "[]", "{}", "no json"])
def test_an_answer_that_is_not_understood_is_told(text: str) -> None:
    with pytest.raises(BackupError, match="is not understood"):
        parse_info(text)
    if text != "[]":
        with pytest.raises(BackupError, match="is not understood"):
            parse_snapshots(text)


@pytest.mark.parametrize(
    ("backups", "kind"),
    [
        ((), "full"),
        ((data_backup("1F", "full", timedelta(days=6)),), "incr"),
        ((data_backup("1F", "full", timedelta(days=6, hours=23)),), "full"),
        ((data_backup("1F", "full", timedelta(days=8)), data_backup("1F_2I", "incr", timedelta(days=1))), "full"),
        ((data_backup("1F", "full", timedelta(days=8)), data_backup("2F", "full", timedelta(days=1))), "incr"),
    ],
)
def test_a_full_backup_is_made_weekly(backups: tuple[dict[str, Any], ...], kind: str) -> None:
    assert next_type(parse_info(info(*backups)), NOW) == kind


def weekly(*ages: int) -> list[dict[str, Any]]:
    """Give full backups of these ages in days."""
    return [data_backup(f"{9000 - age}F", "full", timedelta(days=age)) for age in ages]


def kept(backups: Sequence[dict[str, Any]]) -> int:
    return full_kept(parse_info(info(*backups)), NOW)


@pytest.mark.parametrize(
    ("backups", "count"),
    [
        (weekly(0), 1),
        (weekly(0, 7, 14, 21, 28, 35), 6),
        (weekly(0, 7, 14, 21, 28, 35, 42), 6),
        (weekly(0, 3, 6, 9, 12, 15, 18, 21, 24, 27, 30, 33), 11),
    ],
    ids=["the only one", "few", "those past the window go", "all of the window and the one before it"],
)
def test_the_full_backups_of_the_recovery_window_stay(backups: list[dict[str, Any]], count: int) -> None:
    assert kept(backups) == count


@given(
    weeks_before=st.integers(0, 12),
    days_early=st.integers(0, 6),
    jump=st.timedeltas(timedelta(days=-4000), timedelta(days=4000)),
)
def test_a_clock_that_jumps_costs_nothing_of_the_recovery_window(
    weeks_before: int, days_early: int, jump: timedelta
) -> None:
    stay: list[tuple[int, timedelta]] = []
    """The full backups that stay: on which day each was made in truth, and which time it bears."""
    for week in range(weeks_before + 12):
        has_jumped = week >= weeks_before
        day = 7 * week - (days_early if has_jumped else 0)
        now = timedelta(days=day) + (jump if has_jumped else timedelta(0))
        stay.append((day, now))
        stay = stay[-kept([data_backup(f"{1000 + made}F", "full", now - dated) for made, dated in stay]) :]
        assert day - stay[0][0] >= min(28, day)


def test_a_full_backup_from_the_future_takes_no_others_place() -> None:
    assert kept([*weekly(0, 7, 14, 21, 28, 35), data_backup("9999F", "full", FUTURE)]) == 6
    assert kept([*weekly(0, 4, 8, 12, 16, 20, 24, 28), data_backup("9999F", "full", FUTURE)]) == 9


def test_full_backups_with_broken_pages_take_no_others_place_and_none_is_the_last_that_stays() -> None:
    sound = weekly(0, 7, 14, 21, 28, 35, 42)
    assert kept([*sound[:2], damaged(sound[2]), *sound[3:]]) == 7
    assert kept([*sound[:6], damaged(sound[6]), *weekly(49)]) == 6
    assert kept([*sound[:4], *map(damaged, sound[4:]), *weekly(49)]) == 8, "too few sound ones: all stay"


def test_the_newest_snapshot_of_the_files_is_reported() -> None:
    summary = {
        "backup_start": "2026-01-05T10:59:58Z",
        "backup_end": "2026-01-05T11:00:00.5Z",
        "total_bytes_processed": 42,
    }
    snapshots = [
        {"short_id": "new", "time": "2026-01-05T10:59:58Z", "summary": summary},
        {"short_id": "old", "time": "2026-01-04T10:59:58Z"},
    ]
    assert files_report(parse_snapshots(json.dumps(snapshots)), NOW) == BackupReport(
        last_success=datetime(2026, 1, 5, 11, 0, 0, 500000, tzinfo=UTC),
        last_label="new",
        last_size_bytes=42,
        last_duration_seconds=2.5,
        count=2,
    )


def test_no_snapshot_is_no_fault() -> None:
    assert files_report(parse_snapshots("[]"), NOW) == BackupReport()


def test_an_incomplete_snapshot_does_not_count() -> None:
    incomplete = {"short_id": "new", "time": "2026-01-05T11:00:00Z", "tags": ["incomplete"]}
    complete = {"short_id": "old", "time": "2026-01-04T11:00:00Z"}
    report = files_report(parse_snapshots(json.dumps([incomplete, complete])), NOW)
    assert (report.last_label, report.count) == ("old", 1)
    assert files_report(parse_snapshots(json.dumps([incomplete])), NOW) == BackupReport()


FULL, INCREMENTAL = data_backup("20260104-020000F", "full", timedelta(days=1)), "20260104-020000F_20270105-020000I"
FROM_THE_FUTURE = {
    "an incremental one": (
        (FULL, data_backup(INCREMENTAL, "incr", FUTURE)),
        "full",
        f"backup {INCREMENTAL} is dated 2027-01-05 12:00 UTC, which is still to come: the clock was wrong then, or is "
        "now; the next backup is a full one",
    ),
    "a full one": (
        (FULL, data_backup("20270105-020000F", "full", FUTURE)),
        "incr",
        "backup 20270105-020000F is dated 2027-01-05 12:00 UTC, which is still to come: the clock was wrong then, or "
        "is now; until then only incremental backups can be made, upon this one",
    ),
    "a full one with an incremental one of now": (
        (
            data_backup("20270105-020000F", "full", FUTURE),
            data_backup("20270105-020000F_20260104-020000I", "incr", timedelta(days=1)),
        ),
        "incr",
        "backup 20270105-020000F is dated 2027-01-05 12:00 UTC",
    ),
}


@pytest.mark.parametrize("case", FROM_THE_FUTURE)
def test_a_backup_from_the_future_is_told_and_followed_by_one_that_pgbackrest_can_make(case: str) -> None:
    listed, kind, words = FROM_THE_FUTURE[case]
    stanza = parse_info(info(*listed))
    report = data_report(stanza, NOW)
    assert report.last_success == NOW - timedelta(days=1)
    assert report.message.startswith(words)
    assert next_type(stanza, NOW) == kind


def test_the_age_of_a_backup_from_the_future_is_not_known() -> None:
    report = data_report(parse_info(info(data_backup("20270105-020000F", "full", FUTURE))), NOW)
    assert (report.last_success, report.count) == (None, 1)
    assert "still to come" in report.message


def test_once_a_full_backup_was_made_an_incremental_one_from_the_future_hides_nothing_more() -> None:
    listed = FULL, data_backup(INCREMENTAL, "incr", FUTURE), data_backup("20260105-110000F", "full", timedelta(hours=1))
    stanza = parse_info(info(*listed))
    assert data_report(stanza, NOW).last_label == "20260105-110000F"
    assert data_report(stanza, NOW).message == ""
    assert next_type(stanza, NOW) == "incr"


def test_a_clock_that_is_a_little_ahead_is_no_fault() -> None:
    listed = data_backup("20260105-120400F", "full", timedelta(minutes=-4))
    assert data_report(parse_info(info(listed)), NOW).message == ""
    assert next_type(parse_info(info(listed)), NOW) == "incr"


def test_a_snapshot_from_the_future_hides_no_earlier_one_and_alone_proves_nothing() -> None:
    ahead = {"short_id": "ahead", "time": "2027-01-05T12:00:00Z"}
    now = {"short_id": "now", "time": "2026-01-05T11:00:00Z"}
    report = files_report(parse_snapshots(json.dumps([ahead, now])), NOW)
    assert (report.last_label, report.count, report.message) == ("now", 2, "")
    report = files_report(parse_snapshots(json.dumps([ahead])), NOW)
    assert (report.last_success, report.count) == (None, 1)
    assert report.message.startswith("backup ahead is dated 2027-01-05 12:00 UTC, which is still to come")


@pytest.mark.parametrize("age", [timedelta(hours=5), FUTURE])
def test_a_failure_is_told_whatever_time_the_newest_backup_bears(age: timedelta) -> None:
    failed = with_failure(BackupReport(last_success=NOW - age), NOW, "the volume is full")
    assert (failed.last_failure, failed.message) == (NOW, "the volume is full")
