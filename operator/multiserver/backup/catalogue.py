"""What the repositories list, read from the programs' JSON. Pure.

pgBackRest: `info --output=json`. restic: `snapshots --json`.
"""

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Literal

from pydantic import BaseModel, TypeAdapter, ValidationError

from multiserver.api.report import BackupReport
from multiserver.backup.errors import BackupError

FULL_EVERY = timedelta(days=6, hours=12)
"""Age of the newest full backup at which the next one is full: weekly with a daily schedule, whatever it jitters."""

NOTHING_YET = (1, 2)
"""pgBackRest's codes for a repository without this stanza yet, and for a stanza without a backup yet."""


class _Times(BaseModel):
    start: int
    stop: int


class _Sizes(BaseModel):
    size: int


class DataBackup(BaseModel):
    """One backup of pgBackRest; times are Unix times in seconds."""

    label: str
    type: Literal["full", "diff", "incr"]
    timestamp: _Times
    info: _Sizes
    error: bool | None = None
    """Whether a page's checksum was wrong: the database itself is damaged there."""


class _Status(BaseModel):
    code: int
    message: str


class Repository(BaseModel):
    """The state of one repository."""

    status: _Status


class Stanza(BaseModel):
    """What pgBackRest lists for the site."""

    backup: list[DataBackup]
    status: _Status
    repo: list[Repository] = []

    @property
    def problem(self) -> str:
        """Say what is wrong with the repository; empty if nothing is, or if there is just no backup yet."""
        if self.status.code == 0 or self.status.code in NOTHING_YET:
            return ""
        messages = [repository.status.message for repository in self.repo if repository.status.code != 0]
        return "; ".join(_first_line(message) for message in messages) or self.status.message


def _first_line(message: str) -> str:
    """Give the first line of pgBackRest's message; further ones may quote the damaged file itself."""
    line = message.splitlines()[0].rstrip(":")
    if "unable to load info file" in line:
        return f"{line}: it is damaged, or the passphrase is not the one that the repository was made with"
    return line


def parse_info(text: str) -> Stanza:
    """Read the answer of `pgbackrest info`. Raises BackupError if it is not understood."""
    try:
        # Not strict: a message may quote bytes of a damaged file.
        (stanza,) = TypeAdapter(list[Stanza]).validate_python(json.loads(text, strict=False))
    except ValueError as error:  # Also the one that pydantic raises.
        raise BackupError(f"the answer of pgbackrest info is not understood: {text[:200]}") from error
    return stanza


def data_report(stanza: Stanza) -> BackupReport:
    """Give the report on the backups of the data."""
    if not stanza.backup:
        return BackupReport(message=stanza.problem)
    newest = max(stanza.backup, key=lambda backup: backup.timestamp.stop)
    damage = f"backup {newest.label} holds pages with wrong checksums: the database is damaged" if newest.error else ""
    return BackupReport(
        last_success=datetime.fromtimestamp(newest.timestamp.stop, UTC),
        last_label=newest.label,
        last_size_bytes=newest.info.size,
        last_duration_seconds=newest.timestamp.stop - newest.timestamp.start,
        count=len(stanza.backup),
        message=stanza.problem or damage,
    )


def next_type(stanza: Stanza, now: datetime) -> Literal["full", "incr"]:
    """Say whether the next backup of the data is a full one: weekly, and when there is none."""
    fulls = [backup.timestamp.stop for backup in stanza.backup if backup.type == "full"]
    recent = fulls and now - datetime.fromtimestamp(max(fulls), UTC) < FULL_EVERY
    return "incr" if recent else "full"


class _Summary(BaseModel):
    backup_start: datetime
    backup_end: datetime
    total_bytes_processed: int


class Snapshot(BaseModel):
    """One backup of restic."""

    short_id: str
    time: datetime
    summary: _Summary | None = None


def parse_snapshots(text: str) -> list[Snapshot]:
    """Read the answer of `restic snapshots`. Raises BackupError if it is not understood."""
    try:
        return TypeAdapter(list[Snapshot]).validate_json(text)
    except ValidationError as error:
        raise BackupError(f"the answer of restic snapshots is not understood: {text[:200]}") from error


def files_report(snapshots: Sequence[Snapshot]) -> BackupReport:
    """Give the report on the backups of the files."""
    if not snapshots:
        return BackupReport()
    newest = max(snapshots, key=lambda snapshot: snapshot.time)
    summary = newest.summary
    return BackupReport(
        last_success=summary.backup_end if summary else newest.time,
        last_label=newest.short_id,
        last_size_bytes=summary.total_bytes_processed if summary else None,
        last_duration_seconds=(summary.backup_end - summary.backup_start).total_seconds() if summary else None,
        count=len(snapshots),
    )


def with_failure(report: BackupReport, failed: datetime, message: str) -> BackupReport:
    """Add the last failed attempt, which no repository lists; a success since then makes it the past."""
    if report.last_success is not None and report.last_success >= failed:
        return report
    return report.model_copy(update={"last_failure": failed, "message": message})
