"""The site's report as metrics, read when they are asked for. A figure that is not known has no sample.

`FIGURES` is the whole list; `make metrics` writes it into docs/metrics.md.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from multiserver.agent.loops import Loops
from multiserver.api.report import (
    BackupReport,
    EngineReport,
    LinkState,
    PeerReport,
    SiteReport,
    TableDifference,
    Verification,
    VolumeReport,
)

Number = float | int | bool | datetime | None
Sample = tuple[tuple[str, ...], Number]
"""Values of the figure's labels, without the site's, and the number."""

T = TypeVar("T")


@dataclass(frozen=True)
class Figure:
    """One metric: its name without the prefix, its meaning, its labels besides `site`, and how to read it."""

    name: str
    meaning: str
    labels: tuple[str, ...]
    read: Callable[[SiteReport], Iterable[Sample]]

    @property
    def full_name(self) -> str:
        """The name as Prometheus stores it."""
        return f"multiserver_{self.name}"


def _site(name: str, meaning: str, read: Callable[[SiteReport], Number]) -> Figure:
    return Figure(name, meaning, (), lambda report: [((), read(report))])


def _peer(name: str, meaning: str, read: Callable[[PeerReport], Number]) -> Figure:
    return Figure(name, meaning, ("peer",), lambda report: [((peer.name,), read(peer)) for peer in report.peers])


def _engine(name: str, meaning: str, read: Callable[[EngineReport], Number]) -> Figure:
    return _site(name, meaning, lambda report: read(report.database.engine) if report.database.engine else None)


def _backup(name: str, meaning: str, read: Callable[[BackupReport], Number]) -> Figure:
    def samples(report: SiteReport) -> Iterator[Sample]:
        yield ("data",), read(report.data_backup)
        yield ("files",), read(report.files_backup)

    return Figure(name, meaning, ("kind",), samples)


def _is_read(backup: BackupReport) -> bool:
    """Whether the repository is known to have been read."""
    return bool(backup.last_success or backup.damage or not backup.message)


def _volume(name: str, meaning: str, read: Callable[[VolumeReport], Number]) -> Figure:
    return Figure(name, meaning, ("volume",), lambda report: [((v.name,), read(v)) for v in report.volumes])


def _differing(verification: Verification, count: Callable[[TableDifference], int]) -> int | None:
    return sum(map(count, verification.differences)) if verification.verified_at else None


def _scaled(value: float | None, factor: float) -> float | None:
    return None if value is None else value * factor


def _info(report: SiteReport) -> Iterator[Sample]:
    database = report.database
    labels = (str(report.server_number), report.agent_version, database.version or "", database.system_id or "")
    yield labels, 1


def _states(report: SiteReport) -> Iterator[Sample]:
    for peer in report.peers:
        for state in LinkState:
            yield (peer.name, state.value), peer.state is state


FIGURES: tuple[Figure, ...] = (
    Figure(
        "site_info",
        "Always 1; the labels say which site this is and what it runs.",
        ("server_number", "agent_version", "database_version", "system_id"),
        _info,
    ),
    _site("report_timestamp_seconds", "When the report behind all these figures was made.", lambda r: r.observed_at),
    Figure(
        "peer_state",
        "1 for the state that the line to the peer is in, 0 for the others: Connected, CutOff or Unknown.",
        ("peer", "state"),
        _states,
    ),
    _peer("peer_state_since_timestamp_seconds", "Since when the line is in this state.", lambda p: p.since),
    _peer(
        "peer_observed_timestamp_seconds", "When the oldest of the peer's figures was read.", lambda p: p.observed_at
    ),
    _peer(
        "peer_last_connection_timestamp_seconds", "When the peer was last connected to.", lambda p: p.last_connection
    ),
    _peer("peer_last_ping_timestamp_seconds", "When the peer last answered.", lambda p: p.last_ping),
    _peer("peer_ping_seconds", "Round trip of the last answer.", lambda p: _scaled(p.ping_milliseconds, 1e-3)),
    _peer(
        "peer_clock_offset_seconds",
        "The peer's clock minus the site's own.",
        lambda p: _scaled(p.clock_offset_milliseconds, 1e-3),
    ),
    _peer(
        "replication_active",
        "1 if changes flow both ways between the site and the peer.",
        lambda p: p.replication_active,
    ),
    _peer(
        "replication_lag_bytes",
        "Write-ahead log at the site that the peer has not yet confirmed.",
        lambda p: p.lag_bytes,
    ),
    _peer("replication_lag_seconds", "Age of the peer's newest heartbeat that has arrived.", lambda p: p.lag_seconds),
    _peer("replication_retained_bytes", "Write-ahead log kept at the site for the peer.", lambda p: p.retained_bytes),
    _peer(
        "replication_backlog_ratio",
        "Used share of what the site may keep for the peer, 0 to 1.",
        lambda p: _scaled(p.backlog_percent, 1e-2),
    ),
    _peer(
        "replication_autonomy_seconds",
        "How long the peer may stay away, at the last hour's rate, until the site gives up what it keeps for it.",
        lambda p: p.autonomy_seconds,
    ),
    _peer(
        "files_peer_reachable", "1 if the site's Syncthing is connected with the peer's.", lambda p: p.files_reachable
    ),
    _peer(
        "files_peer_ratio", "How much of all folders the peer holds, 0 to 1.", lambda p: _scaled(p.files_percent, 1e-2)
    ),
    _peer(
        "verified_timestamp_seconds",
        "When all rows were last compared with the peer's; no sample before the first time.",
        lambda p: p.verified.verified_at,
    ),
    _peer("verified_equal", "1 if all rows were equal then, else 0.", lambda p: p.verified.is_equal),
    _peer(
        "verified_rows_differing",
        "Rows that differed then, damaged ones too.",
        lambda p: _differing(p.verified, lambda table: table.rows),
    ),
    _peer(
        "verified_rows_damaged",
        "Rows that differed then although their versions were equal.",
        lambda p: _differing(p.verified, lambda table: table.damaged),
    ),
    _site("database_available", "1 if the site's own database answers.", lambda r: r.database.available),
    _site(
        "log_bytes_per_second",
        "How fast the site's write-ahead log grew in the last hour.",
        lambda r: r.database.log_bytes_per_second,
    ),
    _site(
        "parked_rows", "Rows that cannot be stored now; 10000 means so many or more.", lambda r: r.database.parked_rows
    ),
    _site("refused_rows", "Parked rows that break a rule of this site's own.", lambda r: r.database.refused_rows),
    _site(
        "conflicts_last_day",
        "Changes lost to concurrent ones that the site has seen since yesterday; 10000 means so many or more.",
        lambda r: r.database.conflicts_last_day,
    ),
    _engine("conflicts", "Entries of the conflict log.", lambda e: e.conflicts),
    _engine("conflicts_bytes", "Size of the conflict log.", lambda e: e.conflicts_bytes),
    _engine("journal_bytes", "Size of the journal; it is emptied all the time.", lambda e: e.journal_bytes),
    _engine("registers_bytes", "Size of all registers.", lambda e: e.register_bytes),
    _engine("tombstones", "Deleted keys still kept, counted at times.", lambda e: e.tombstones),
    _engine(
        "appended_bytes", "Size of what all sites do not have yet of tables without key.", lambda e: e.appended_bytes
    ),
    _engine(
        "agreed_timestamp_seconds",
        "Up to when every site has every change, less the margin; no sample while nothing is collected.",
        lambda e: e.agreed_until,
    ),
    _site(
        "replication_errors",
        "Links that cannot apply a change; no sample while the database does not answer.",
        lambda r: len(r.database.replication_errors) if r.database.available else None,
    ),
    _site(
        "unreplicated_tables",
        "Tables that are not replicated; no sample while the database does not answer.",
        lambda r: r.database.unreplicated_count,
    ),
    _site("files_available", "1 if the site's own Syncthing answers.", lambda r: r.files.available),
    _site("files_ratio", "How much of all folders the site holds, 0 to 1.", lambda r: _scaled(r.files.percent, 1e-2)),
    _site(
        "files_errors",
        "Errors that Syncthing reports; no sample while it does not answer.",
        lambda r: len(r.files.errors) if r.files.available else None,
    ),
    _backup(
        "backup_last_success_timestamp_seconds",
        "When the newest backup in the repository ended.",
        lambda b: b.last_success,
    ),
    _backup("backup_last_failure_timestamp_seconds", "When a backup last failed.", lambda b: b.last_failure),
    _backup("backup_last_size_bytes", "Size of the newest backup.", lambda b: b.last_size_bytes),
    _backup("backup_last_duration_seconds", "How long the newest backup took.", lambda b: b.last_duration_seconds),
    _backup("backup_count", "Backups in the repository.", lambda b: b.count if _is_read(b) else None),
    Figure(
        "backup_damaged",
        "1 if the backup made last holds broken pages: the database is damaged; files are not judged.",
        ("kind",),
        lambda r: [(("data",), bool(r.data_backup.damage) if _is_read(r.data_backup) else None)],
    ),
    _site(
        "archive_last_timestamp_seconds", "When write-ahead log was last archived.", lambda r: r.archive.last_archived
    ),
    _site(
        "archive_failing_since_timestamp_seconds",
        "Since when archiving fails; no sample while it works.",
        lambda r: r.archive.failing_since,
    ),
    _volume("volume_capacity_bytes", "Size of the volume.", lambda v: v.capacity_bytes),
    _volume("volume_free_bytes", "Space left on the volume.", lambda v: v.free_bytes),
)

LOOP_SUCCESS = "multiserver_duty_last_success_timestamp_seconds"
LOOP_SUCCESS_MEANING = "When the agent last did this duty with success; no sample before the first time."


class ReportCollector(Collector):
    """Gives the figures of the report that is current when it is asked."""

    def __init__(self, report: Callable[[], SiteReport], loops: Loops) -> None:
        self._report = report
        self._loops = loops

    def collect(self) -> Iterator[Metric]:
        """Read every figure from one report."""
        report = self._report()
        for figure in FIGURES:
            labels = ("site", *figure.labels)
            yield _family(figure.full_name, figure.meaning, labels, report.site, figure.read(report))
        successes = (((loop.duty.name,), loop.last_success) for loop in self._loops)
        yield _family(LOOP_SUCCESS, LOOP_SUCCESS_MEANING, ("site", "duty"), report.site, successes)


def _family(
    name: str, meaning: str, labels: tuple[str, ...], site: str, samples: Iterable[Sample]
) -> GaugeMetricFamily:
    family = GaugeMetricFamily(name, meaning, labels=labels)
    for values, number in samples:
        if number is not None:
            family.add_metric((site, *values), number.timestamp() if isinstance(number, datetime) else float(number))
    return family


def page() -> str:
    """Give the first part of docs/metrics.md."""
    rows = [(figure.full_name, figure.labels, figure.meaning) for figure in FIGURES]
    rows.append((LOOP_SUCCESS, ("duty",), LOOP_SUCCESS_MEANING))
    table = "".join(f"| `{name}` | {', '.join(('site', *labels))} | {meaning} |\n" for name, labels, meaning in rows)
    return (
        "# Metrics\n\n"
        "Made by `make metrics` from what the programs serve; do not edit.\n\n"
        "## A site's agent\n"
        "Each site's agent serves them on port 8080 at `/metrics`. Every figure is the viewpoint of the site in its\n"
        "label `site`. What is not known has no sample, so alert on `absent` and on old timestamps too. Moments are\n"
        "Unix times.\n\n"
        "No Service has this port: have Prometheus read the pods, here by the Prometheus operator, in the cluster's\n"
        "namespace. The pod's label, as `multiserver_dev_cluster`, tells apart sites of two clusters with one name.\n\n"
        "```yaml\n"
        "apiVersion: monitoring.coreos.com/v1\n"
        "kind: PodMonitor\n"
        "metadata:\n"
        "  name: multiserver\n"
        "spec:\n"
        "  selector:\n"
        "    matchLabels: {app.kubernetes.io/name: multiserver, app.kubernetes.io/component: server}\n"
        "  podTargetLabels: [multiserver.dev/cluster]\n"
        "  podMetricsEndpoints:\n"
        "    - {port: probe, path: /metrics}\n"
        "```\n\n"
        "| metric | labels | meaning |\n| --- | --- | --- |\n" + table
    )


if __name__ == "__main__":
    print(page(), end="")
