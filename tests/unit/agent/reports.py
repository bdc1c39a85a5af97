"""A valid report with named changes."""

from datetime import datetime, timedelta
from typing import Any

from multiserver.api.report import (
    ArchiveReport,
    BackupReport,
    DatabaseReport,
    FilesReport,
    LinkState,
    PeerReport,
    SiteReport,
    Verification,
    VolumeReport,
)


def peer_report(now: datetime, name: str = "hamburg", **changes: Any) -> PeerReport:
    """Give a peer that is connected and up to date."""
    values: dict[str, Any] = {
        "observed_at": now,
        "state": LinkState.CONNECTED,
        "since": now - timedelta(hours=1),
        "last_connection": now - timedelta(hours=1),
        "last_ping": now,
        "ping_milliseconds": 12.5,
        "clock_offset_milliseconds": -3.0,
        "replication_active": True,
        "lag_bytes": 128,
        "lag_seconds": 1.5,
        "retained_bytes": 4096,
        "files_reachable": True,
        "files_percent": 100.0,
        "verification": Verification(verified_at=now - timedelta(hours=3), is_equal=True, tables=4),
    }
    return PeerReport(name=name, **(values | changes))


def site_report(now: datetime, **changes: Any) -> SiteReport:
    """Give the report of berlin, all well, with one peer."""
    backup = BackupReport(
        last_success=now - timedelta(hours=2), last_label="20260101-100000F", last_size_bytes=1000,
        last_duration_seconds=12.0, count=3,
    )  # fmt: skip
    values: dict[str, Any] = {
        "site": "berlin",
        "server_number": 1,
        "observed_at": now,
        "agent_version": "0.1.0",
        "database": DatabaseReport(available=True, system_id="7", version="18.1", parked_rows=0),
        "files": FilesReport(available=True, percent=100.0),
        "data_backup": backup,
        "files_backup": backup,
        "archive": ArchiveReport(last_archived=now - timedelta(minutes=1)),
        "raid": "OK: no RAID present",
        "volumes": tuple(
            VolumeReport(name=name, capacity_bytes=1000, free_bytes=600) for name in ("data", "files", "repository")
        ),
        "peers": (peer_report(now),),
    }
    return SiteReport(**(values | changes))
