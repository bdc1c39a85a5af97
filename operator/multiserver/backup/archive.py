"""Whether the write-ahead log reaches the repository, judged from `pg_stat_archiver`. Pure."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from multiserver.api.report import ArchiveReport

QUERY = """\
select last_archived_wal, last_archived_time, last_failed_wal, last_failed_time, stats_reset
from pg_stat_archiver"""


@dataclass(frozen=True)
class ArchiverRow:
    """What PostgreSQL says of its archiver; the answer to `QUERY`, in its order."""

    last_archived_wal: str | None
    last_archived_time: datetime | None
    last_failed_wal: str | None
    last_failed_time: datetime | None
    stats_reset: datetime | None


def judge(row: ArchiverRow, cause: Callable[[], str] = str) -> ArchiveReport:
    """Give the report on archiving. `cause` is asked for what is wrong with the repository only if archiving fails.

    PostgreSQL does not keep when failing began; the last success is the latest moment that can surely be restored, so
    it is given as the beginning. Before the first success that is the start of the statistics.
    """
    succeeded, failed = row.last_archived_time, row.last_failed_time
    if failed is None or (succeeded is not None and succeeded >= failed):
        return ArchiveReport(last_archived=succeeded)
    why = cause() or "pgBackRest could not store it; see the log of the container postgres"
    message = f"write-ahead log {row.last_failed_wal}: {why}"
    return ArchiveReport(last_archived=succeeded, failing_since=succeeded or row.stats_reset or failed, message=message)
