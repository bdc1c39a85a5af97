"""Whether the write-ahead log reaches the repository, judged from `pg_stat_archiver` and the segments that wait. Pure.

PostgreSQL counts as failed only a command that ends by itself with an error. One that hangs, or is killed by a signal,
shows only in segments that go on waiting. And a failure is over when its segment waits no more: unlike the times of the
last failure and the last success, that stays right if the clock was wrong in between.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from multiserver.api.moments import is_ahead, still_to_come
from multiserver.api.report import ArchiveReport

WAITS_MAX = timedelta(minutes=5)
"""How long a segment may wait until that is told. Most take less than a second; a failed one is tried every minute."""

STARTS_MAX = timedelta(minutes=1)
"""How long after its first start a server's failure is not told: its repository is being made meanwhile."""

# Only the names are listed, and one file is looked at: with 20000 segments that takes 26 ms, not the 200 ms of
# pg_ls_archive_statusdir(). The oldest has the least name, and PostgreSQL archives it first. It may be gone by then.
QUERY = """\
select last_archived_wal, last_archived_time, last_failed_wal, last_failed_time,
  replace(name, '.ready', '') as waiting_wal,
  (pg_stat_file('pg_wal/archive_status/' || name, true)).modification as waiting_since,
  pg_postmaster_start_time() as started_at, clock_timestamp() as asked_at
from pg_stat_archiver,
  (select min(name collate "C") from pg_ls_dir('pg_wal/archive_status', true, false) name
   where name like '%.ready') as oldest (name)"""


@dataclass(frozen=True)
class ArchiverRow:
    """What PostgreSQL says of archiving; the answer to `QUERY`, in its order."""

    last_archived_wal: str | None
    last_archived_time: datetime | None
    last_failed_wal: str | None
    last_failed_time: datetime | None
    waiting_wal: str | None
    """The oldest segment that waits to be archived."""
    waiting_since: datetime | None
    """Since when it is complete; None if none waits any more."""
    started_at: datetime
    """When the server started: before that nothing could be archived."""
    asked_at: datetime
    """By the server's clock."""


def judge(row: ArchiverRow, cause: Callable[[], str] = str) -> ArchiveReport:
    """Give the report on archiving. `cause` is asked for what is wrong with the repository only if archiving fails.

    Failing began when the oldest segment that waits was complete: what came before is in the repository.
    """
    archived = _known(row.last_archived_time, row)
    if row.waiting_since is None:
        return ArchiveReport(last_archived=archived)
    if _has_failed(row):
        if row.last_archived_wal is None and timedelta(0) <= row.asked_at - row.started_at < STARTS_MAX:
            return ArchiveReport(last_archived=archived)
        why = cause() or "pgBackRest could not store it; see the log of the container postgres"
    elif is_ahead(row.waiting_since, row.asked_at):
        words = f"write-ahead log {row.waiting_wal} waits and is {still_to_come(row.waiting_since)}"
        return ArchiveReport(last_archived=archived, message=words)
    elif row.asked_at - max(row.waiting_since, row.started_at) > WAITS_MAX:
        why = cause() or _why_it_waits(row, archived)
    else:
        return ArchiveReport(last_archived=archived)
    since = _known(row.waiting_since, row) or archived or row.asked_at
    return ArchiveReport(
        last_archived=archived, failing_since=since, message=f"write-ahead log {row.waiting_wal}: {why}"
    )


def _known(moment: datetime | None, row: ArchiverRow) -> datetime | None:
    """Give a time unless it was taken by a clock that was wrong."""
    return None if moment is None or is_ahead(moment, row.asked_at) else moment


def _has_failed(row: ArchiverRow) -> bool:
    """Whether the segment that failed last still waits; none that comes after it is tried before."""
    return bool(row.waiting_wal and row.last_failed_wal and row.waiting_wal <= row.last_failed_wal)


def _why_it_waits(row: ArchiverRow, archived: datetime | None) -> str:
    if archived is not None and row.asked_at - archived < WAITS_MAX:
        return "log is written faster than it is archived; see how busy the disk of the repository is"
    return (
        "it waits, and PostgreSQL counts no failure: the program that archives hangs or was killed; see the disk of "
        "the repository and the log of the container postgres"
    )
