"""The sentence that people read about a site's backups."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from multiserver.api.moments import CLOCK_TOLERANCE
from multiserver.api.report import ArchiveReport, BackupReport, DatabaseReport, FilesReport, SiteReport
from multiserver.backup.sentences import AGE_MAX, ALL_WELL, backup_problem, backup_sentence

NOW = datetime(2026, 1, 5, 12, tzinfo=UTC)


def hours_ago(hours: float) -> datetime:
    return NOW - timedelta(hours=hours)


def report(**changed: Any) -> SiteReport:
    """Give the report of a site that is well, changed as the test wants."""
    well = {
        "files": FilesReport(available=True, percent=100),
        "data_backup": BackupReport(last_success=hours_ago(10), count=3),
        "files_backup": BackupReport(last_success=hours_ago(2), count=3),
        "archive": ArchiveReport(last_archived=hours_ago(0.01)),
    }
    return SiteReport(
        site="berlin",
        server_number=1,
        observed_at=NOW,
        agent_version="1",
        database=DatabaseReport(available=True),
        raid="OK: no RAID present",
        **{**well, **changed},
    )


def test_all_is_well() -> None:
    assert backup_sentence(report(), NOW) == "OK: backup and synchronisation are up to date"
    assert backup_problem(report(), NOW) is None


@pytest.mark.parametrize(
    ("changed", "sentence", "overdue"),
    [
        ({"data_backup": BackupReport(last_success=hours_ago(48.9))}, "no backup of the data for 48 h", True),
        ({"files_backup": BackupReport(last_success=hours_ago(37))}, "no backup of the files for 37 h", True),
        ({"data_backup": BackupReport()}, "no backup of the data yet", False),
        (
            {"data_backup": BackupReport(last_failure=hours_ago(1), message="the volume is full")},
            "no backup of the data yet; the last attempt failed at 2026-01-05 11:00 UTC: the volume is full",
            True,
        ),
        (
            {"data_backup": BackupReport(last_success=hours_ago(20), last_failure=hours_ago(1), message="disk full")},
            "the last backup of the data failed, the newest is 20 h old; the last attempt failed at 2026-01-05 11:00 "
            "UTC: disk full",
            True,
        ),
        (
            {"data_backup": BackupReport(last_success=hours_ago(-48), count=1)},
            "Unknown: backups of the data: the newest is dated 2026-01-07 12:00 UTC, which is still to come: the clock "
            "was wrong then, or is now; compare the clock of the site with the operator's",
            False,
        ),
        (
            {
                "data_backup": BackupReport(
                    last_success=hours_ago(-48), count=1, last_failure=hours_ago(1), message="disk full"
                )
            },
            "it is not known how old the newest backup of the data is; the last attempt failed at 2026-01-05 11:00 "
            "UTC: disk full",
            True,
        ),
        (
            {"data_backup": BackupReport(count=1, message="backup 1F is dated 2027")},
            "Unknown: backups of the data: backup 1F is dated 2027",
            False,
        ),
        (
            {"data_backup": BackupReport(last_success=hours_ago(20), count=2, damage="1F is broken")},
            "the last backup of the data failed, the newest is 20 h old; 1F is broken",
            True,
        ),
        (
            {"data_backup": BackupReport(count=1, damage="1F is broken")},
            "no sound backup of the data whose age is known; 1F is broken",
            True,
        ),
        (
            {
                "data_backup": BackupReport(
                    count=1, damage="1F is broken", last_failure=hours_ago(1), message="1F is broken"
                )
            },
            "no sound backup of the data whose age is known; the last attempt failed at 2026-01-05 11:00 UTC: 1F is "
            "broken",
            True,
        ),
        (
            {
                "data_backup": BackupReport(
                    last_success=hours_ago(48),
                    count=2,
                    damage="1F is broken",
                    last_failure=hours_ago(1),
                    message="disk full",
                )
            },
            "no backup of the data for 48 h; the last attempt failed at 2026-01-05 11:00 UTC: disk full; 1F is broken",
            True,
        ),
        (
            {"archive": ArchiveReport(failing_since=hours_ago(3), message="the volume is full")},
            "archiving fails since 2026-01-05 09:00 UTC (3 h): the volume is full",
            True,
        ),
        (
            {"files_backup": BackupReport(message="wrong password")},
            "Unknown: backups of the files: wrong password",
            False,
        ),
    ],
)
def test_each_trouble_has_its_sentence(changed: dict[str, Any], sentence: str, overdue: bool) -> None:
    problem = backup_problem(report(**changed), NOW)
    assert problem
    assert (problem.sentence, problem.overdue) == (sentence, overdue)
    assert backup_sentence(report(**changed), NOW) == sentence


def test_a_fault_comes_before_what_is_not_known_yet() -> None:
    both = report(data_backup=BackupReport(), files_backup=BackupReport(last_success=hours_ago(50)))
    assert backup_sentence(both, NOW) == "no backup of the files for 50 h"


@pytest.mark.parametrize(
    ("files", "sentence"),
    [
        (FilesReport(available=False, message="no answer"), "synchronisation of the files is down: no answer"),
        (
            FilesReport(available=True, percent=100, errors=("disk full",)),
            "synchronisation of the files fails: disk full",
        ),
        (FilesReport(available=True, percent=97), "synchronisation of the files is at 97 %"),
        (FilesReport(available=True), "how much of the files is here is not known"),
    ],
)
def test_backups_alone_are_not_all(files: FilesReport, sentence: str) -> None:
    assert backup_sentence(report(files=files), NOW).endswith(sentence)


ages = st.none() | st.timedeltas(timedelta(days=-400), timedelta(days=400)).map(lambda age: NOW - age)
words = st.sampled_from(["", "broken"])
backups = st.builds(BackupReport, last_success=ages, last_failure=ages, damage=words, message=words)


@given(backups, backups)
def test_ok_is_said_only_of_backups_that_are_recent_and_did_not_fail(data: BackupReport, files: BackupReport) -> None:
    if backup_sentence(report(data_backup=data, files_backup=files), NOW) != ALL_WELL:
        return
    for backup in (data, files):
        assert backup.last_success
        assert -CLOCK_TOLERANCE <= NOW - backup.last_success <= AGE_MAX
        assert backup.last_failure is None
        assert backup.damage == ""
        assert backup.message == ""
