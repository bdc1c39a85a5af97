"""The site's report, put together from what the agent has seen. Pure.

What was seen too long ago is not known any more: it becomes None, Unknown or a sentence that says since when, never OK.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from importlib.metadata import version
from typing import TypeVar

from multiserver.agent.link import Link
from multiserver.agent.seen import Database, Seen, Sightings
from multiserver.api.moments import is_ahead, moment, still_to_come
from multiserver.api.report import (
    ArchiveReport,
    BackupReport,
    DatabaseReport,
    FilesReport,
    LinkState,
    PeerReport,
    SiteReport,
    Verification,
)
from multiserver.api.siteconfig import Member, SiteConfig
from multiserver.files.health import PeerFiles
from multiserver.replication.links import link_name
from multiserver.replication.observe import DatabaseFacts, Slot

AGENT_VERSION = version("multiserver-operator")

DATABASE_VALID = timedelta(seconds=20)
FILES_VALID = timedelta(seconds=60)
BACKUPS_VALID = timedelta(minutes=5)
MACHINE_VALID = timedelta(minutes=3)
ENGINE_VALID = timedelta(minutes=1)
"""A few periods of the duty that looks: one late look is no reason to alarm."""

AUTONOMY_MAX = timedelta(days=365)
"""More is not told: nobody can know the rate for so long."""

TABLES_TOLD_MAX = 20
"""A report travels to every site; it names so many tables that are not replicated, and counts them all."""

T = TypeVar("T")


def assemble(config: SiteConfig, seen: Sightings, links: Mapping[str, Link], now: datetime) -> SiteReport:
    """Give the report of this moment."""
    machine = _valid(seen.machine, now, MACHINE_VALID)
    return SiteReport(
        site=config.site,
        server_number=config.own.server_number,
        observed_at=now,
        agent_version=AGENT_VERSION,
        database=_database(config, seen, now),
        files=_files(seen, now),
        data_backup=_backup(seen, now, "data"),
        files_backup=_backup(seen, now, "files"),
        archive=_archive(seen, now),
        raid=machine.raid if machine else f"Unknown: {_problem(seen.machine, now, MACHINE_VALID)}",
        volumes=machine.volumes if machine else (),
        peers=tuple(_peer(peer, config, seen, links.get(peer.name, Link()), now) for peer in config.peers),
    )


def _problem(seen: Seen[T] | None, now: datetime, valid: timedelta) -> str:
    """Say why a part is not known; empty if it is."""
    return "not looked at yet" if seen is None else seen.problem(now, valid)


def _valid(seen: Seen[T] | None, now: datetime, valid: timedelta) -> T | None:
    """Give what is still valid now."""
    return None if seen is None or seen.problem(now, valid) else seen.value


def _database(config: SiteConfig, seen: Sightings, now: datetime) -> DatabaseReport:
    database = _valid(seen.database, now, DATABASE_VALID)
    if database is None:
        return DatabaseReport(available=False, message=_problem(seen.database, now, DATABASE_VALID))
    facts = database.facts
    return DatabaseReport(
        available=True,
        system_id=facts.system_identifier,
        version=facts.server_version,
        log_bytes_per_second=database.log_bytes_per_second,
        parked_rows=facts.parked_count if facts.engine_version else None,
        refused_rows=facts.refused_count if facts.engine_version else None,
        conflicts_last_day=facts.conflicts_last_day,
        replication_errors=_replication_errors(config, database),
        unreplicated_tables=tuple(table.reason for table in facts.unreplicated_tables[:TABLES_TOLD_MAX]),
        unreplicated_count=len(facts.unreplicated_tables),
        engine=_valid(seen.engine, now, ENGINE_VALID),
    )


def _replication_errors(config: SiteConfig, database: Database) -> tuple[str, ...]:
    """Say which links stand still although their line is up."""
    errors = []
    for peer in config.peers:
        name = link_name(peer.server_number)
        if since := database.stuck_links.get(name):
            errors.append(
                f"a change from {peer.name} cannot be applied since {moment(since)} and all later ones "
                "wait for it: the log of the container postgres says why"
            )
    return tuple(errors)


def _files(seen: Sightings, now: datetime) -> FilesReport:
    health = _valid(seen.files, now, FILES_VALID)
    if health is None:
        return FilesReport(available=False, message=_problem(seen.files, now, FILES_VALID))
    return health.report


def _backup(seen: Sightings, now: datetime, kind: str) -> BackupReport:
    backups = _valid(seen.backups, now, BACKUPS_VALID)
    if backups is None:
        return BackupReport(message=f"the repository: {_problem(seen.backups, now, BACKUPS_VALID)}")
    return backups.data if kind == "data" else backups.files


def _archive(seen: Sightings, now: datetime) -> ArchiveReport:
    database = _valid(seen.database, now, DATABASE_VALID)
    if database is None:
        return ArchiveReport(message=f"the database: {_problem(seen.database, now, DATABASE_VALID)}")
    return database.archive


def _peer(peer: Member, config: SiteConfig, seen: Sightings, link: Link, now: datetime) -> PeerReport:
    """Give the site's viewpoint of one peer; it is as old as its oldest part."""
    link = link.seen_at(now)
    connected = link.state is LinkState.CONNECTED
    database = _valid(seen.database, now, DATABASE_VALID)
    replication = _replication(peer, database, link, now) if database else _Replication()
    health = _valid(seen.files, now, FILES_VALID)
    files = health.peers.get(peer.name, PeerFiles()) if health else PeerFiles()
    moments = [link.observed_at, seen.database and seen.database.at, seen.files and seen.files.at]
    return PeerReport(
        name=peer.name,
        observed_at=min((moment for moment in moments if moment), default=now),
        state=link.state,
        since=link.since,
        message=link.message,
        last_connection=link.last_connection,
        last_ping=link.last_ping,
        ping_milliseconds=link.ping_milliseconds if connected else None,
        clock_offset_milliseconds=link.clock_offset_milliseconds if connected else None,
        replication_active=_confirmed(replication.active, connected),
        lag_bytes=replication.lag_bytes,
        lag_seconds=replication.lag_seconds,
        retained_bytes=replication.retained_bytes,
        backlog_percent=replication.backlog_percent,
        autonomy_seconds=replication.autonomy_seconds,
        files_reachable=_confirmed(files.reachable, connected),
        files_percent=files.percent if connected else None,
        verification=_verification(seen.verifications.get(peer.name), now),
    )


def _verification(known: Verification | None, now: datetime) -> Verification | None:
    """Give how the last comparison ended. One from the future does not prove that rows are equal now."""
    if known is None or known.verified_at is None or not is_ahead(known.verified_at, now):
        return known
    words = f"the last comparison is {still_to_come(known.verified_at)}; the next one is due"
    is_equal = None if known.is_equal else known.is_equal
    return known.model_copy(
        update={"verified_at": None, "is_equal": is_equal, "message": "; ".join(filter(None, [words, known.message]))}
    )


def _confirmed(active: bool | None, connected: bool) -> bool | None:
    """Give whether something goes on, as far as is known: PostgreSQL and Syncthing notice a silent cut late."""
    return None if active and not connected else active


@dataclass(frozen=True)
class _Replication:
    """The figures of both directions between the site and a peer; as in PeerReport."""

    active: bool | None = None
    lag_bytes: int | None = None
    lag_seconds: float | None = None
    retained_bytes: int | None = None
    backlog_percent: float | None = None
    autonomy_seconds: float | None = None


def _replication(peer: Member, database: Database, link: Link, now: datetime) -> _Replication:
    facts = database.facts
    name = link_name(peer.server_number)
    slot = next((slot for slot in facts.slots if slot.peer_number == peer.server_number), None)
    subscription = next((subscription for subscription in facts.subscriptions if subscription.name == name), None)
    return _Replication(
        active=bool(slot and slot.active and subscription and subscription.worker_active),
        lag_bytes=slot.lag_bytes if slot else None,
        lag_seconds=_lag_seconds(peer, facts, link, now),
        retained_bytes=slot.retained_bytes if slot else None,
        backlog_percent=_backlog_percent(slot) if slot else None,
        autonomy_seconds=_autonomy_seconds(slot, database.log_bytes_per_second) if slot else None,
    )


def _backlog_percent(slot: Slot) -> float | None:
    """Give the used share of what may be kept for a peer; None if the slot has no limit, or its backlog is unknown."""
    if slot.wal_status == "lost":
        return 100.0
    if slot.safe_wal_size is None or slot.retained_bytes is None:
        return None
    safe = max(slot.safe_wal_size, 0)
    return 100 * slot.retained_bytes / max(slot.retained_bytes + safe, 1)


def _autonomy_seconds(slot: Slot, log_bytes_per_second: float | None) -> float | None:
    """Give how long it takes at this rate until a peer's slot is in danger; None if it is not known."""
    if slot.wal_status == "lost":
        return 0.0
    if slot.safe_wal_size is None or log_bytes_per_second is None:
        return None
    return min(max(slot.safe_wal_size, 0) / max(log_bytes_per_second, 1.0), AUTONOMY_MAX.total_seconds())


def _lag_seconds(peer: Member, facts: DatabaseFacts, link: Link, now: datetime) -> float | None:
    """Give the age of the newest heartbeat by the own clock: the peer's clock is corrected as far as it is known."""
    heartbeat = next((beat for beat in facts.heartbeats if beat.server_number == peer.server_number), None)
    if heartbeat is None:
        return None
    offset = timedelta(milliseconds=link.clock_offset_milliseconds or 0)
    return max((now - (heartbeat.sent_at - offset)).total_seconds(), 0.0)
