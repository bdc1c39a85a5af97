"""The plain sentence on a site's backups, and what is wrong with them if something is. Pure.

Judged from what the repository itself lists, never from what a Job claimed. What is not known is said as such.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from multiserver.api.moments import is_ahead, still_to_come
from multiserver.api.report import ArchiveReport, BackupReport, FilesReport, SiteReport

AGE_MAX = timedelta(hours=36)
"""Age at which the newest backup is overdue: a daily one that was missed once, and half a day to repair it."""

ALL_WELL = "OK: backup and synchronisation are up to date"


@dataclass(frozen=True)
class BackupProblem:
    """Why a site's backups are not what they should be."""

    sentence: str
    overdue: bool
    """Whether that is a fault; else it is not known yet, as before the first backup."""


def backup_sentence(report: SiteReport, now: datetime) -> str:
    """Say in one sentence how a site's backups and the synchronisation of its files are."""
    if problem := backup_problem(report, now):
        return problem.sentence
    return _files(report.files) or ALL_WELL


def backup_problem(report: SiteReport, now: datetime) -> BackupProblem | None:
    """Give what is wrong with a site's backups, the gravest first; None if they are up to date."""
    found = [
        problem
        for problem in (
            _archive(report.archive, now),
            _backup("the data", report.data_backup, now),
            _backup("the files", report.files_backup, now),
        )
        if problem
    ]
    return next(iter(sorted(found, key=lambda problem: not problem.overdue)), None)


def _archive(archive: ArchiveReport, now: datetime) -> BackupProblem | None:
    if archive.failing_since is None:
        return BackupProblem(f"Unknown: archiving: {archive.message}", overdue=False) if archive.message else None
    hours = _hours(now - archive.failing_since)
    sentence = f"archiving fails since {archive.failing_since:%Y-%m-%d %H:%M} UTC ({hours} h): {archive.message}"
    return BackupProblem(sentence, overdue=True)


def _backup(what: str, backup: BackupReport, now: datetime) -> BackupProblem | None:
    """Judge one kind of backup."""
    age = _age(backup.last_success, now)
    why = ""
    if backup.last_failure is not None:
        why = f"; the last attempt failed at {backup.last_failure:%Y-%m-%d %H:%M} UTC: {backup.message}"
    if backup.damage not in why:
        why += f"; {backup.damage}"
    if age is None:
        return _of_no_known_age(what, backup, why)
    if age > AGE_MAX:
        return BackupProblem(f"no backup of {what} for {_hours(age)} h{why}", overdue=True)
    if why:
        return BackupProblem(f"the last backup of {what} failed, the newest is {_hours(age)} h old{why}", overdue=True)
    if backup.message:
        return BackupProblem(f"Unknown: backups of {what}: {backup.message}", overdue=False)
    return None


def _of_no_known_age(what: str, backup: BackupReport, why: str) -> BackupProblem:
    """Judge a kind of which the repository lists no backup, only some from the future, or cannot be read.

    `why` is why the last attempt failed; empty if it did not.
    """
    if backup.damage:
        return BackupProblem(f"no sound backup of {what} whose age is known{why}", overdue=True)
    if why:
        none = f"it is not known how old the newest backup of {what} is" if backup.count else f"no backup of {what} yet"
        return BackupProblem(f"{none}{why}", overdue=True)
    if backup.last_success is not None:  # Ahead by our clock, and not by the site's.
        words = f"the newest is {still_to_come(backup.last_success)}; compare the clock of the site with the operator's"
        return BackupProblem(f"Unknown: backups of {what}: {words}", overdue=False)
    if backup.message:
        return BackupProblem(f"Unknown: backups of {what}: {backup.message}", overdue=False)
    return BackupProblem(f"no backup of {what} yet", overdue=False)


def _files(files: FilesReport) -> str:
    """Say what keeps the files from being up to date; empty if nothing does."""
    if not files.available:
        return f"backup is up to date; synchronisation of the files is down: {files.message}"
    if files.errors:
        return f"backup is up to date; synchronisation of the files fails: {files.errors[0]}"
    if files.percent is None:
        return "Unknown: backup is up to date; how much of the files is here is not known"
    if files.percent < 100:
        return f"backup is up to date; synchronisation of the files is at {files.percent:.0f} %"
    return ""


def _age(moment: datetime | None, now: datetime) -> timedelta | None:
    """Give how long ago something was; None if it never was, or is still to come."""
    return None if moment is None or is_ahead(moment, now) else now - moment


def _hours(age: timedelta) -> int:
    """Give whole hours, so that a sentence changes once an hour at the most."""
    return max(0, int(age.total_seconds() // 3600))
