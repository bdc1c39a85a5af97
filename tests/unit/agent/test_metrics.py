from datetime import UTC, datetime
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from multiserver.agent import metrics as agent_metrics
from multiserver.agent.loops import Duty, Loop, Loops
from multiserver.agent.metrics import ReportCollector
from multiserver.api.report import BackupReport, DatabaseReport, EngineReport, FilesReport, LinkState, SiteReport
from multiserver.control import metrics as control_metrics
from tests.unit.agent.reports import peer_report, site_report

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
CHECKOUT = Path(__file__).resolve().parents[3]


async def nothing() -> None: ...


def samples(report: SiteReport, *loops: Loop) -> list[str]:
    registry = CollectorRegistry()
    registry.register(ReportCollector(lambda: report, Loops(loops)))
    return [line for line in generate_latest(registry).decode().splitlines() if not line.startswith("#")]


def test_figures_of_a_peer_carry_the_observer_and_the_peer() -> None:
    lines = samples(site_report(NOON))
    assert 'multiserver_peer_ping_seconds{peer="hamburg",site="berlin"} 0.0125' in lines
    assert 'multiserver_peer_clock_offset_seconds{peer="hamburg",site="berlin"} -0.003' in lines
    assert 'multiserver_replication_lag_bytes{peer="hamburg",site="berlin"} 128.0' in lines
    assert 'multiserver_files_peer_ratio{peer="hamburg",site="berlin"} 1.0' in lines
    assert 'multiserver_peer_last_ping_timestamp_seconds{peer="hamburg",site="berlin"} 1.7672688e+09' in lines


def test_what_the_engine_keeps() -> None:
    engine = EngineReport(
        journal_bytes=1, register_bytes=2, appended_bytes=3, tombstones=4, conflicts=5, conflicts_bytes=6,
        parked_for_unique=7, parked_refused=8, agreed_until=NOON,
    )  # fmt: skip
    report = site_report(NOON, database=DatabaseReport(available=True, parked_rows=15, engine=engine))
    lines = samples(report)
    assert 'multiserver_conflicts{site="berlin"} 5.0' in lines
    assert 'multiserver_tombstones{site="berlin"} 4.0' in lines
    assert 'multiserver_agreed_timestamp_seconds{site="berlin"} 1.7672688e+09' in lines
    unknown = samples(site_report(NOON, database=DatabaseReport(available=True)))
    assert not any(line.startswith("multiserver_tombstones") for line in unknown)


def test_exactly_one_state_of_a_line_is_set() -> None:
    lines = samples(site_report(NOON, peers=(peer_report(NOON, state=LinkState.CUT_OFF),)))
    assert [line for line in lines if line.startswith("multiserver_peer_state{")] == [
        'multiserver_peer_state{peer="hamburg",site="berlin",state="Connected"} 0.0',
        'multiserver_peer_state{peer="hamburg",site="berlin",state="CutOff"} 1.0',
        'multiserver_peer_state{peer="hamburg",site="berlin",state="Unknown"} 0.0',
    ]


def test_what_is_not_known_has_no_sample() -> None:
    unknown = site_report(
        NOON,
        peers=(peer_report(NOON, ping_milliseconds=None, lag_bytes=None, replication_active=None),),
        database=DatabaseReport(available=False, message="connection refused"),
        files=FilesReport(available=False),
        data_backup=BackupReport(),
    )
    names = {line.split("{")[0] for line in samples(unknown)}
    assert not names & {
        "multiserver_peer_ping_seconds",
        "multiserver_replication_lag_bytes",
        "multiserver_replication_active",
        "multiserver_parked_rows",
        "multiserver_replication_errors",
        "multiserver_files_ratio",
        "multiserver_files_errors",
    }
    assert 'multiserver_database_available{site="berlin"} 0.0' in samples(unknown)


def test_backups_are_told_by_kind() -> None:
    lines = samples(site_report(NOON, data_backup=BackupReport(count=0)))
    assert 'multiserver_backup_count{kind="data",site="berlin"} 0.0' in lines
    assert 'multiserver_backup_count{kind="files",site="berlin"} 3.0' in lines


@pytest.mark.parametrize(
    ("backup", "told"),
    [
        (BackupReport(), [0.0]),
        (BackupReport(count=1, damage="1F is broken"), [1.0]),
        (BackupReport(count=1, damage="1F is broken", last_failure=NOON, message="1F is broken"), [1.0]),
        (BackupReport(message="wrong password"), []),
    ],
)
def test_a_damaged_database_is_told_from_one_that_is_not_known(backup: BackupReport, told: list[float]) -> None:
    lines = samples(site_report(NOON, data_backup=backup))
    name = 'multiserver_backup_damaged{kind="data",site="berlin"} '
    assert [float(line.removeprefix(name)) for line in lines if line.startswith(name)] == told


async def test_a_duty_tells_when_it_last_succeeded_and_nothing_before() -> None:
    loop = Loop(Duty("heartbeat", nothing, 1, 1, "look"))
    name = "multiserver_duty_last_success_timestamp_seconds"
    assert not [line for line in samples(site_report(NOON), loop) if line.startswith(name)]
    await loop.turn()
    assert [line for line in samples(site_report(NOON), loop) if line.startswith(name)]


def test_the_documentation_is_fresh() -> None:
    made = agent_metrics.page() + control_metrics.page()
    assert (CHECKOUT / "docs" / "metrics.md").read_text() == made, "run: make metrics"


def test_metric_names_follow_the_conventions() -> None:
    """Base units only, nothing that needs a comment to be read."""
    names = {line.split("{")[0] for line in samples(site_report(NOON))}
    assert all(name.startswith("multiserver_") for name in names)
    assert not [name for name in names if name.endswith(("_milliseconds", "_percent", "_ms", "_total"))]
