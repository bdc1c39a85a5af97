"""The duties that look: each asks one part of the site how it is and puts the answer into the sightings.

A part that does not answer is an answer too: it is put down with the reason, and the duty fails, so that the log says
it once.
"""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from multiserver.agent.apply_errors import ApplyErrors
from multiserver.agent.backups import BackupRuns
from multiserver.agent.local_database import LocalDatabase
from multiserver.agent.log_growth import LogGrowth
from multiserver.agent.loops import sentence
from multiserver.agent.seen import Backups, Database, Machine, Seen, Sightings
from multiserver.api.report import ArchiveReport, VolumeReport
from multiserver.api.siteconfig import SiteConfig
from multiserver.backup import archive
from multiserver.backup.catalogue import with_failure
from multiserver.backup.errors import BackupError
from multiserver.backup.pgbackrest import PgBackRest
from multiserver.backup.restic import Restic
from multiserver.files import observe as files
from multiserver.files.client import Syncthing, SyncthingError
from multiserver.machine.disks import ask_disk
from multiserver.machine.raid import MDSTAT, raid_sentence
from multiserver.machine.volumes import read_volume, write_problem
from multiserver.postgres.connect import Connection
from multiserver.postgres.errors import DatabaseError
from multiserver.replication import observe as replication
from multiserver.settings import SitePaths

VOLUME_SECONDS = 5.0
"""A volume that does not answer by then is not measured."""

DISK_SECONDS_MAX = 3.0
"""How long a volume may take to store a few bytes before it counts as hanging."""


class LookAtDatabase:
    """Asks the site's database how it is, and whether it archives."""

    def __init__(self, database: LocalDatabase, repository: Path, seen: Sightings) -> None:
        self._database = database
        self._repository = repository
        self._seen = seen
        self._errors = ApplyErrors()
        self._growth = LogGrowth()

    async def __call__(self) -> None:
        """Raises DatabaseError."""
        try:
            async with self._database.connection() as connection:
                facts = await replication.observe(connection)
                archived = await self._archive(connection)
        except DatabaseError as error:
            self._seen.database = Seen(datetime.now(UTC), message=sentence(error))
            raise
        now = datetime.now(UTC)
        self._errors.note({link.name: link.apply_errors for link in facts.subscriptions}, now)
        self._growth.note(now, facts.current_lsn)
        stuck, growth = self._errors.stuck(now), self._growth.bytes_per_second()
        self._seen.database = Seen(now, Database(facts, archived, stuck, growth))

    async def _archive(self, connection: Connection) -> ArchiveReport:
        row = archive.ArchiverRow(**(await connection.rows(archive.QUERY))[0])
        if archive.judge(row).failing_since is None:
            return archive.judge(row)
        problem = await self._repository_problem()
        return archive.judge(row, lambda: problem)

    async def _repository_problem(self) -> str:
        """Say why the repository cannot be written; a hanging volume must not make the database look unknown."""
        try:
            return await ask_disk(self._repository, partial(write_problem, self._repository), DISK_SECONDS_MAX)
        except TimeoutError as error:
            return f"{self._repository} gives {error}"


class LookAtFiles:
    """Asks the site's Syncthing how the files are, here and at the peers."""

    def __init__(self, syncthing: Syncthing, config: Callable[[], SiteConfig], seen: Sightings) -> None:
        self._syncthing = syncthing
        self._config = config
        self._seen = seen

    async def __call__(self) -> None:
        """Raises SyncthingError."""
        health = await files.observe(self._syncthing, self._config())
        self._seen.files = Seen(datetime.now(UTC), health)
        if not health.report.available:
            raise SyncthingError(health.report.message)


class LookAtBackups:
    """Asks the repositories what they hold; a failed attempt that they do not list is added."""

    def __init__(self, data: PgBackRest, files: Restic, runs: BackupRuns, seen: Sightings) -> None:
        self._data = data
        self._files = files
        self._runs = runs
        self._seen = seen

    async def __call__(self) -> None:
        """Raises BackupError if a repository cannot be read."""
        data, of_files = await asyncio.gather(self._data.report(), self._files.report())
        reports = {"data": data, "files": of_files}
        for kind, run in (await self._runs.last_failures()).items():
            reports[kind] = with_failure(reports[kind], run.ended or run.started, run.message)
        self._seen.backups = Seen(datetime.now(UTC), Backups(**reports))
        if problem := data.message or of_files.message:
            raise BackupError(problem)


class LookAtMachine:
    """Measures the volumes and looks at the disk arrays."""

    def __init__(self, paths: SitePaths, seen: Sightings) -> None:
        self._paths = paths
        self._seen = seen

    async def __call__(self) -> None:
        """Raises OSError if a volume cannot be read; the others are measured all the same."""
        paths = {"data": self._paths.data, "files": self._paths.files, "repository": self._paths.repository}
        try:
            raid = await ask_disk(MDSTAT, raid_sentence, DISK_SECONDS_MAX)
        except TimeoutError as error:
            raid = f"Unknown: {error}"
        measured = await asyncio.gather(*(_measure(name, path) for name, path in paths.items()))
        volumes = tuple(volume for volume in measured if isinstance(volume, VolumeReport))
        self._seen.machine = Seen(datetime.now(UTC), Machine(raid, volumes))
        for failure in measured:
            if isinstance(failure, OSError):
                raise failure


async def _measure(name: str, path: Path) -> VolumeReport | OSError:
    """Measure a volume; give why it cannot be measured."""
    try:
        return await ask_disk(path, partial(read_volume, name, path), VOLUME_SECONDS)
    except TimeoutError as error:
        return TimeoutError(f"volume {name} gives {error}")
    except OSError as error:
        return error
