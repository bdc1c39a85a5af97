"""What an agent has seen where all is well, with named changes."""

from datetime import UTC, datetime, timedelta
from typing import Any

from multiserver.agent.seen import Backups, Database, Machine, Seen, Sightings
from multiserver.api.report import ArchiveReport, BackupReport, FilesReport
from multiserver.api.siteconfig import Member, SiteConfig
from multiserver.files.health import FilesHealth, PeerFiles
from multiserver.replication.observe import DatabaseFacts, Heartbeat, Slot, Subscription

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)

CONFIG = SiteConfig(
    cluster="lab", namespace="default", site="berlin", schema_site="berlin", database="app", owner="app",
    folders=("documents",),
    members=(
        Member(name="berlin", server_number=1, host="berlin.example", syncthing_device_id="B"),
        Member(name="hamburg", server_number=2, host="hamburg.example", syncthing_device_id="H"),
    ),
)  # fmt: skip


def heartbeat(sent_at: datetime = NOON) -> Heartbeat:
    return Heartbeat(server_number=2, sent_at=sent_at, received_at=NOON, system_identifier="8", sent_lsn="0/1")


def facts(**changes: Any) -> DatabaseFacts:
    """Give the facts of berlin, linked with hamburg both ways."""
    values: dict[str, Any] = {
        "observed_at": NOON,
        "system_identifier": "7",
        "server_version": "18.1",
        "engine_version": "80_receive",
        "is_in_recovery": False,
        "server_number": 1,
        "schema_site": 1,
        "schema_version": 0,
        "sites": {1: "berlin", 2: "hamburg"},
        "opened_at": NOON,
        "owner_may_login": True,
        "slots": (
            Slot(
                peer_number=2, active=True, wal_status="reserved", lag_bytes=128, retained_bytes=4096,
                inactive_since=None,
            ),
        ),
        "subscriptions": (
            Subscription(
                name="multiserver_2", enabled=True, conninfo="", worker_active=True, last_message_at=NOON,
                apply_errors=0,
            ),
        ),
        "heartbeats": (heartbeat(),),
        "parked_rows": (),
        "unreplicated_tables": (),
        "sequences": (),
        "pending_restarts": (),
    }  # fmt: skip
    return DatabaseFacts(**(values | changes))


def database(
    stuck_links: dict[str, datetime] | None = None, log_bytes_per_second: float | None = None, **changes: Any
) -> Database:
    return Database(facts(**changes), ArchiveReport(last_archived=NOON), stuck_links or {}, log_bytes_per_second)


def backups(now: datetime, files: BackupReport | None = None) -> Backups:
    made = BackupReport(last_success=now - timedelta(hours=2), last_label="20260101-100000F", count=3)
    return Backups(made, files or made)


def all_seen(now: datetime, **changes: Any) -> Sightings:
    """Give sightings of everything at one moment; the changes are the database's."""
    health = FilesHealth(FilesReport(available=True, percent=100.0), {"hamburg": PeerFiles(True, 99.0)})
    return Sightings(
        database=Seen(now, database(**changes)),
        files=Seen(now, health),
        backups=Seen(now, backups(now)),
        machine=Seen(now, Machine("OK: no RAID present", ())),
    )
