"""What the agent has seen, each part with its moment. A part is replaced as a whole by the duty that looks at it."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Generic, TypeVar

from multiserver.api.moments import moment
from multiserver.api.report import ArchiveReport, BackupReport, EngineReport, Verification, VolumeReport
from multiserver.files.health import FilesHealth
from multiserver.replication.observe import DatabaseFacts

T = TypeVar("T")


@dataclass(frozen=True)
class Seen(Generic[T]):
    """An answer, or why there is none, and when that was."""

    at: datetime
    value: T | None = None
    message: str = ""

    def problem(self, now: datetime, valid: timedelta) -> str:
        """Say why this tells nothing about now; empty if it does."""
        # A clock that was set back leaves answers from the future behind; those tell nothing either.
        if abs(now - self.at) > valid:
            return f"not known since {moment(self.at)}"
        return "" if self.value is not None else self.message


@dataclass(frozen=True)
class Database:
    """The site's database and what it says of its archiving."""

    facts: DatabaseFacts
    archive: ArchiveReport
    stuck_links: dict[str, datetime] = field(default_factory=dict)
    """Subscriptions that cannot apply a change, with the moment of the first failure."""
    log_bytes_per_second: float | None = None
    """How fast the write-ahead log grows; None if it was not measured for long enough."""


@dataclass(frozen=True)
class Backups:
    """What the repositories list."""

    data: BackupReport
    files: BackupReport


@dataclass(frozen=True)
class Machine:
    """The machine below the site."""

    raid: str
    volumes: tuple[VolumeReport, ...]


@dataclass
class Sightings:
    """The newest of each; None before the first look."""

    database: Seen[Database] | None = None
    files: Seen[FilesHealth] | None = None
    backups: Seen[Backups] | None = None
    machine: Seen[Machine] | None = None
    engine: Seen[EngineReport] | None = None
    verifications: dict[str, Verification] = field(default_factory=dict)
    """By peer: how the last comparison ended; each carries its own time."""
