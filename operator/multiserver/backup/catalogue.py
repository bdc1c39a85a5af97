"""What the repositories list, read from the programs' JSON. Pure.

pgBackRest: `info --output=json`. restic: `snapshots --json`.
"""

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Literal

from pydantic import BaseModel, Field, TypeAdapter, ValidationError

from multiserver.api.moments import is_ahead, still_to_come
from multiserver.api.report import BackupReport
from multiserver.backup.errors import BackupError

FULL_EVERY = timedelta(days=6, hours=12)
"""Age of the newest full backup at which the next one is full: weekly with a daily schedule, whatever it jitters."""

RECOVERY_WINDOW = timedelta(days=28)
"""Any moment of this long can be restored."""

FULL_KEPT_MIN = 6
"""So many sound full backups stay, whatever the clock says: five that are made weekly reach back over the whole window,
and one more was perhaps made early, since the clock was ahead."""

NOTHING_YET = (1, 2)
"""pgBackRest's codes for a repository without this stanza yet, and for a stanza without a backup yet."""

INCOMPLETE = "incomplete"
"""Tag of a snapshot that lacks files which could not be read. Most of the rest can be restored from it."""


class _Times(BaseModel):
    start: int
    stop: int


class _Sizes(BaseModel):
    size: int


class _Database(BaseModel):
    id: int
    system_id: int = Field(alias="system-id")


class _OfDatabase(BaseModel):
    id: int


class DataBackup(BaseModel):
    """One backup of pgBackRest; times are Unix times in seconds."""

    label: str
    type: Literal["full", "diff", "incr"]
    database: _OfDatabase
    timestamp: _Times
    info: _Sizes
    error: bool | None = None
    """Whether a page's checksum was wrong: the database itself is damaged there."""

    @property
    def ended(self) -> datetime:
        """When it ended."""
        return datetime.fromtimestamp(self.timestamp.stop, UTC)

    @property
    def base(self) -> str:
        """The label of the full backup that it needs, which may be its own."""
        return self.label.partition("_")[0]


class _Status(BaseModel):
    code: int
    message: str


class Repository(BaseModel):
    """The state of one repository."""

    status: _Status


class Stanza(BaseModel):
    """What pgBackRest lists for the site."""

    backup: list[DataBackup]
    db: list[_Database]
    status: _Status
    repo: list[Repository] = []

    @property
    def present(self) -> list[DataBackup]:
        """The backups of the present database. Those of a lost volume's lead to what that one had, and no further."""
        newest = max(self.db, key=lambda database: database.id, default=None)
        # One that was restored has a number of its own, and the identifier that it had.
        same = {database.id for database in self.db if newest and database.system_id == newest.system_id}
        return [backup for backup in self.backup if backup.database.id in same]

    @property
    def latest(self) -> DataBackup | None:
        """The backup that was made last: pgBackRest refuses a label that does not come after the others."""
        return max(self.backup, key=lambda backup: backup.label, default=None)

    @property
    def damage(self) -> str:
        """Say that the backup made last holds broken pages; empty if it does not, or is not of the present database."""
        if self.latest is None or not self.latest.error or self.latest not in self.present:
            return ""
        return (
            f"backup {self.latest.label} holds pages with wrong checksums: the database is damaged. The backups before "
            "it are kept (docs/runbooks/BackupOverdue.md)"
        )

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


def data_report(stanza: Stanza, now: datetime) -> BackupReport:
    """Give the report on the backups of the data. One with broken pages is no success. One from the future proves
    nothing, since its age is not known.

    Where there is none of the present database, the newest of an earlier one is given, so that its age is told.
    """
    present = stanza.present
    newest = max(
        (backup for backup in present or stanza.backup if not backup.error and not is_ahead(backup.ended, now)),
        key=lambda backup: backup.ended,
        default=None,
    )
    ahead = _ahead(stanza, now)
    message = (
        stanza.problem or (_in_the_way(ahead) if ahead else "") or (_earlier(newest) if newest and not present else "")
    )
    if newest is None:
        return BackupReport(count=len(stanza.backup), damage=stanza.damage, message=message)
    return BackupReport(
        last_success=newest.ended,
        last_label=newest.label,
        last_size_bytes=newest.info.size,
        last_duration_seconds=newest.timestamp.stop - newest.timestamp.start,
        count=len(stanza.backup),
        damage=stanza.damage,
        message=message,
    )


def next_type(stanza: Stanza, now: datetime) -> Literal["full", "incr"]:
    """Say whether the next backup of the data is a full one: weekly, and when there is none.

    After a backup from the future it is the type that pgBackRest can still make.
    """
    if ahead := _ahead(stanza, now):
        return "incr" if ahead.type == "full" else "full"
    fulls = [backup.ended for backup in stanza.present if backup.type == "full"]
    recent = fulls and now - max(fulls) < FULL_EVERY
    return "incr" if recent else "full"


def full_kept(stanza: Stanza, now: datetime) -> int:
    """Say how many of the latest full backups stay: those of the recovery window, the one before it, some at least.

    Dates alone decide nothing, since a clock that is ahead makes all backups old. Those with broken pages do not count,
    and the oldest that stays is sound: pgBackRest refuses to drop what comes before another.
    """
    fulls = sorted((backup for backup in stanza.backup if backup.type == "full"), key=lambda b: b.label, reverse=True)
    sound = [place for place, full in enumerate(fulls, 1) if not full.error]
    recent = sum(now - fulls[place - 1].ended < RECOVERY_WINDOW for place in sound)
    wanted = max(FULL_KEPT_MIN, recent + 1)
    return sound[wanted - 1] if wanted <= len(sound) else len(fulls)


def _ahead(stanza: Stanza, now: datetime) -> DataBackup | None:
    """Give the backup from the future that stands in the way of the next one; None if none does.

    pgBackRest makes labels of the time, and refuses one that does not come after the latest. So a full backup from the
    future can only be followed by incremental ones upon it, an incremental one only by a full one, and both together by
    none at all.
    """
    latest = stanza.latest
    if latest is None or is_ahead(latest.ended, now):
        return latest
    return next((base for base in stanza.backup if base.label == latest.base and is_ahead(base.ended, now)), None)


def _in_the_way(ahead: DataBackup) -> str:
    """Say which backup is from the future, and what follows."""
    follows = {
        "full": "until then only incremental backups can be made, upon this one. Begin a new repository",
        "incr": "the next backup is a full one. If it is refused, begin a new repository",
    }
    kind = "full" if ahead.type == "full" else "incr"
    return f"backup {ahead.label} is {still_to_come(ahead.ended)}; {follows[kind]} (docs/backups.md)"


def _earlier(backup: DataBackup) -> str:
    return f"the newest, {backup.label}, is of the database that this site had before its volume was lost; make one now"


class _Summary(BaseModel):
    backup_start: datetime
    backup_end: datetime
    total_bytes_processed: int


class Snapshot(BaseModel):
    """One backup of restic."""

    short_id: str
    time: datetime
    tags: list[str] = []
    summary: _Summary | None = None

    @property
    def ended(self) -> datetime:
        """When it ended, or began where it does not say more."""
        return self.summary.backup_end if self.summary else self.time


def parse_snapshots(text: str) -> list[Snapshot]:
    """Read the answer of `restic snapshots`. Raises BackupError if it is not understood."""
    try:
        return TypeAdapter(list[Snapshot]).validate_json(text)
    except ValidationError as error:
        raise BackupError(f"the answer of restic snapshots is not understood: {text[:200]}") from error


def files_report(snapshots: Sequence[Snapshot], now: datetime) -> BackupReport:
    """Give the report on the complete backups of the files. One from the future proves nothing: its age is unknown."""
    complete = [snapshot for snapshot in snapshots if INCOMPLETE not in snapshot.tags]
    newest = max(
        (snapshot for snapshot in complete if not is_ahead(snapshot.ended, now)),
        key=lambda snapshot: snapshot.ended,
        default=None,
    )
    if newest is None:
        ahead = max(complete, key=lambda snapshot: snapshot.ended, default=None)
        words = f"backup {ahead.short_id} is {still_to_come(ahead.ended)}; make another one" if ahead else ""
        return BackupReport(count=len(complete), message=words)
    summary = newest.summary
    return BackupReport(
        last_success=newest.ended,
        last_label=newest.short_id,
        last_size_bytes=summary.total_bytes_processed if summary else None,
        last_duration_seconds=(summary.backup_end - summary.backup_start).total_seconds() if summary else None,
        count=len(complete),
    )


def with_failure(report: BackupReport, failed: datetime, message: str) -> BackupReport:
    """Add that the last attempt failed, which no repository lists.

    Whether it was the last one is for the caller to know: times cannot tell once a clock was wrong.
    """
    return report.model_copy(update={"last_failure": failed, "message": message})
