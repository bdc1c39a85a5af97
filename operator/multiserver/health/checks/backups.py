"""Whether every site could be restored."""

from multiserver.backup.sentences import backup_problem
from multiserver.health.checks.verdict import Verdict, live, since, verdict, without_report
from multiserver.health.reasons import Reason
from multiserver.health.view import ClusterView


def archiving_fails(view: ClusterView) -> Verdict | None:
    """Write-ahead log does not reach the repository, so nothing since the last backup can be restored."""
    return verdict(
        "False",
        Reason.ARCHIVING_FAILS,
        (
            f"{site.name} cannot archive{since(report.archive.failing_since)}: {report.archive.message}"
            for site, report in live(view)
            if report.archive.failing_since
        ),
    )


def backup_overdue(view: ClusterView) -> Verdict | None:
    """A site's newest backup is too old, or the last one failed or shows that the database is damaged."""
    return verdict(
        "False",
        Reason.BACKUP_OVERDUE,
        (
            f"{site.name}: {p.sentence}"
            for site, report in live(view)
            if (p := backup_problem(report, view.now)) and p.overdue
        ),
    )


def backups_unknown(view: ClusterView) -> Verdict | None:
    """A site does not report."""
    return without_report(view)


def no_backup_yet(view: ClusterView) -> Verdict | None:
    """A new site has made no backup yet."""
    return verdict(
        "Unknown",
        Reason.NO_BACKUP_YET,
        (f"{site.name}: {p.sentence}" for site, report in live(view) if (p := backup_problem(report, view.now))),
    )


def backups_recent(view: ClusterView) -> Verdict:
    """Nothing spoke against it."""
    return Verdict("True", Reason.BACKUPS_RECENT, "every site has a recent backup of data and files")
