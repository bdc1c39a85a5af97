"""Health as lists of pure named checks, one list for each condition.

A check looks at the view and says nothing, or gives a verdict: the condition's status, reason and sentence. The first
verdict in a list decides, so the order is part of the meaning: what is certain and bad comes before what is unknown,
and what is unknown before what is well. Each list ends with a check that always speaks.
"""

from multiserver.health.checks import (
    backlogs,
    backups,
    clocks,
    consistency,
    files,
    links,
    numbers,
    progress,
    serving,
    volumes,
)
from multiserver.health.checks.verdict import Check, Verdict
from multiserver.health.view import ClusterView

CHECKS: dict[str, tuple[Check, ...]] = {
    "Ready": (
        serving.site_held_back,
        serving.site_not_ready,
        serving.site_starting,
        serving.site_catching_up,
        serving.site_unreachable,
        serving.links_missing,
        serving.all_sites_serve,
    ),
    "Reconciling": (progress.actions_pending, progress.up_to_date),
    "Stalled": (progress.action_refused, progress.action_failed, progress.not_stalled),
    "ReplicationHealthy": (
        links.link_stuck,
        links.link_cut_off,
        links.link_inactive,
        links.link_catching_up,
        links.replication_unknown,
        links.all_links_replicate,
    ),
    "BacklogsHaveRoom": (
        backlogs.backlog_nearly_full,
        backlogs.backlog_grows,
        backlogs.backlogs_unknown,
        backlogs.backlogs_have_room,
    ),
    "FilesInSync": (
        files.files_faulty,
        files.files_cut_off,
        files.files_unknown,
        files.files_transferring,
        files.files_equal,
    ),
    "BackupsCurrent": (
        backups.archiving_fails,
        backups.backup_overdue,
        backups.backups_unknown,
        backups.no_backup_yet,
        backups.backups_recent,
    ),
    "ClocksInSync": (clocks.clock_off, clocks.clocks_unknown, clocks.clocks_agree),
    "NumbersAvailable": (numbers.range_nearly_used, numbers.numbers_unknown, numbers.numbers_left),
    "DataConsistent": (
        consistency.rows_damaged,
        consistency.rows_differ,
        consistency.tables_not_replicated,
        consistency.rows_parked,
        consistency.not_verified,
        consistency.rows_equal,
    ),
    "VolumesHaveRoom": (volumes.volume_nearly_full, volumes.volumes_unknown, volumes.volumes_have_room),
}
"""The conditions and their checks, in order."""


def judge(view: ClusterView) -> dict[str, Verdict]:
    """Give the verdict on every condition."""
    return {condition: _first(checks, view) for condition, checks in CHECKS.items()}


def _first(checks: tuple[Check, ...], view: ClusterView) -> Verdict:
    verdicts = (check(view) for check in checks)
    return next(verdict for verdict in verdicts if verdict is not None)
