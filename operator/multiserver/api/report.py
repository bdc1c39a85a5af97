"""The report of a site: what it sees of itself and, from its own viewpoint, of every peer.

The agent writes it; it travels to all sites inside the database, so each figure carries when it was observed.
`None` always means not known.
"""

from datetime import datetime
from enum import StrEnum

from pydantic import ValidationError

from multiserver.api.base import Message


class LinkState(StrEnum):
    """What a site can say of a peer."""

    CONNECTED = "Connected"
    CUT_OFF = "CutOff"
    UNKNOWN = "Unknown"


class TableDifference(Message):
    """A table that two sites hold differently."""

    table: str
    rows: int
    """Keys that differ."""
    damaged: int
    """Of these, keys with equal versions and different rows: no change explains them, so none will repair them."""
    examples: tuple[str, ...]
    """Some of the keys, as PostgreSQL writes a row."""
    is_exact: bool = True
    """Whether `rows` counts all; else it is the least."""


class Verification(Message):
    """What comparing the observer's rows with a peer's has shown, versions and contents of all tables."""

    verified_at: datetime | None = None
    """When the last comparison ended that had a result; None if there was none yet."""
    is_equal: bool | None = None
    """That result; None if there was none yet."""
    tables: int = 0
    differences: tuple[TableDifference, ...] = ()
    attempted_at: datetime | None = None
    """When the newest attempt ended, with or without result."""
    message: str = ""
    """Why the newest attempt had no result; empty if it had one."""


class PeerReport(Message):
    """One peer from the observer's viewpoint."""

    name: str
    observed_at: datetime
    """When these figures were read."""
    state: LinkState = LinkState.UNKNOWN
    since: datetime | None = None
    """Since when the state has been this."""
    message: str = ""
    """Why the peer is cut off, in the words of the failed connection; empty while connected."""
    last_connection: datetime | None = None
    """When the kept connection was last opened."""
    last_ping: datetime | None = None
    """When the peer last answered."""
    ping_milliseconds: float | None = None
    clock_offset_milliseconds: float | None = None
    """The peer's clock minus the observer's, at the smallest of the last round trips."""
    replication_active: bool | None = None
    """Whether changes flow both ways: the observer's sender and its subscription's worker both run."""
    lag_bytes: int | None = None
    """Journal that the observer has written and the peer has not yet confirmed."""
    lag_seconds: float | None = None
    """Age of the newest heartbeat of the peer that has arrived here."""
    retained_bytes: int | None = None
    """Write-ahead log kept at the observer for this peer."""
    backlog_percent: float | None = None
    """How much of what the observer may keep for this peer is used, 0 to 100."""
    autonomy_seconds: float | None = None
    """How long the peer may stay away until the observer must give up what it keeps for it, if it goes on writing as
    fast as in the last hour."""
    files_reachable: bool | None = None
    files_percent: float | None = None
    """How much of all folders the peer holds, from the observer's viewpoint, 0 to 100."""
    verification: Verification | None = None

    @property
    def verified(self) -> Verification:
        """The last verification; an empty one if there was none."""
        return self.verification or Verification()


class VolumeReport(Message):
    """A volume of the site."""

    name: str
    """data, files or repository."""
    capacity_bytes: int
    free_bytes: int

    @property
    def used_percent(self) -> float:
        """Share that is used, 0 to 100; a volume without capacity counts as full."""
        return 100 - 100 * self.free_bytes / self.capacity_bytes if self.capacity_bytes else 100.0


COUNTED_MAX = 10_000
"""More rows are not counted where only a look is taken, so that it stays cheap."""


class EngineReport(Message):
    """What the replication engine keeps for itself; see `multiserver.sizes`."""

    journal_bytes: int
    register_bytes: int
    appended_bytes: int
    """Events of tables without key, kept until all sites have them."""
    tombstones: int
    """Deleted keys that are still kept, counted when the registers were last gone through."""
    conflicts: int
    """Entries of the conflict log."""
    conflicts_bytes: int
    parked_for_unique: int
    """Rows parked because another row has their unique value."""
    parked_refused: int
    """Rows parked because this site refuses them."""
    agreed_until: datetime | None = None
    """Up to when every site has every change, less the margin; None while that is not known."""
    hold: str | None = None
    """Why nothing is collected now; None while it is."""


class DatabaseReport(Message):
    """The site's own database as its agent sees it through the local socket."""

    available: bool
    message: str = ""
    """Why it is not available; empty while it is."""
    system_id: str | None = None
    version: str | None = None
    log_bytes_per_second: float | None = None
    """How fast the write-ahead log grew in the last hour."""
    parked_rows: int | None = None
    """Rows that are kept aside since the table cannot hold them now; 10000 means so many or more."""
    refused_rows: int | None = None
    """How many of those that were counted break a rule of this site's own."""
    conflicts_last_day: int | None = None
    """Changes lost to concurrent ones that this site has seen since yesterday; 10000 means so many or more."""
    replication_errors: tuple[str, ...] = ()
    """Sentences of links that cannot apply a change."""
    unreplicated_tables: tuple[str, ...] = ()
    """The first tables that are not replicated, each with the reason."""
    unreplicated_count: int | None = None
    """How many there are in all."""
    engine: EngineReport | None = None


class FilesReport(Message):
    """The site's own Syncthing."""

    available: bool
    message: str = ""
    percent: float | None = None
    """How much of all folders this site holds, 0 to 100."""
    errors: tuple[str, ...] = ()


class BackupReport(Message):
    """What the repository itself says of one kind of backup; not what a Job claimed."""

    last_success: datetime | None = None
    """When the newest sound one ended."""
    last_label: str | None = None
    last_size_bytes: int | None = None
    last_duration_seconds: float | None = None
    count: int = 0
    damage: str = ""
    """What is broken in the database by the backup that was made last; empty if nothing is known to be."""
    last_failure: datetime | None = None
    message: str = ""
    """Why the last one failed or the repository cannot be read; empty if all is well."""


class ArchiveReport(Message):
    """Archiving of the write-ahead log."""

    last_archived: datetime | None = None
    failing_since: datetime | None = None
    message: str = ""


class SiteReport(Message):
    """All that a site says of itself and its peers at one moment."""

    site: str
    server_number: int
    observed_at: datetime
    agent_version: str
    database: DatabaseReport
    files: FilesReport
    data_backup: BackupReport
    files_backup: BackupReport
    archive: ArchiveReport
    raid: str
    """One sentence on the machine's disk arrays, for example "OK: no RAID present"."""
    volumes: tuple[VolumeReport, ...] = ()
    peers: tuple[PeerReport, ...] = ()

    @classmethod
    def readable(cls, document: object) -> "SiteReport | None":
        """Read a report; None if it has another form, as another version's may."""
        try:
            return cls.model_validate(document)
        except ValidationError:
            return None
