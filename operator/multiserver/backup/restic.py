"""Backups of the files with restic, one repository for each site.

Two locks play a part. restic's own are files in the repository, and a killed restic leaves its lock behind, which later
blocks pruning. Ours is the kernel's on a file beside the repository; every restic that we start inherits it, so as long
as one of them lives it is held, and the kernel frees it. Whoever holds ours knows that restic's present locks are left
over, and may remove them.
"""

import fcntl
import json
import os
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import IO, Any, TypeVar

from multiserver.api.report import BackupReport
from multiserver.backup.catalogue import INCOMPLETE, files_report, parse_snapshots
from multiserver.backup.errors import BackupError, ProgramError
from multiserver.backup.process import Listener, Programs
from multiserver.backup.repository import ask_repository
from multiserver.machine.volumes import explain, write_problem
from multiserver.settings import POD, SitePaths

BACKUP_SECONDS_MAX = 12 * 3600.0
COMMAND_SECONDS_MAX = 120.0

EXCLUDED = (".stfolder", ".stversions", ".syncthing.*.tmp", "~syncthing~*.tmp")
"""Syncthing's own: the folder's marker, which must never come from a backup, versions and half-received files."""

KEPT = ("--keep-daily=7", "--keep-weekly=4", "--keep-monthly=12")
"""Three generations: one a day for 7 days, one a week for 4 weeks, one a month for 12 months."""

_INCOMPLETE_CODE = 3

Report = Callable[[str], None]
T = TypeVar("T")


@dataclass(frozen=True)
class Restic:
    """restic of one site. Every method raises BackupError with a plain sentence."""

    site: str
    paths: SitePaths = POD
    programs: Programs = field(default_factory=Programs)

    async def report(self) -> BackupReport:
        """Give what the repository lists; one that cannot be read becomes the report's message."""
        try:
            if not await self._exists():
                return BackupReport()
            return files_report(parse_snapshots(await self._run("snapshots", "--no-lock")), datetime.now(UTC))
        except BackupError as error:
            return BackupReport(message=str(error))

    async def back_up(self, report: Report) -> str:
        """Make a backup of all folders, drop what is past its generation, and give the result in words."""
        if problem := await self._ask(partial(write_problem, self.paths.repository)):
            raise BackupError(problem)
        async with self._held() as lock:
            if not await self._exists():
                report("making the repository")
                await self._make_repository(lock)
            await self._run("unlock", "--remove-all", lock=lock)
            await self._store(lock, report)
            report("dropping old backups")
            forget = ("forget", "--prune", "--group-by=host,tags", *KEPT)  # Apart, so that none drops a complete one.
            await self._run(*forget, lock=lock, deadline_seconds=BACKUP_SECONDS_MAX)
        listed = files_report(parse_snapshots(await self._run("snapshots", "--no-lock")), datetime.now(UTC))
        size = (listed.last_size_bytes or 0) / 1e6
        return f"backup {listed.last_label} of {size:.1f} MB in {listed.last_duration_seconds or 0:.0f} s"

    @asynccontextmanager
    async def _held(self) -> AsyncIterator[int]:
        """Hold our lock and give its file descriptor. Raises BackupError if another process holds it."""
        file = await self._ask(partial(_locked, self.paths.repository / "restic.lock"))
        try:
            yield file.fileno()
        finally:
            await self._ask(file.close)

    async def _exists(self) -> bool:
        """Whether the repository is there; its file `config` comes last, with the rename in `_make_repository`."""
        return await self._ask(partial(_is_there, self.paths.restic_repository / "config"))

    async def _make_repository(self, lock: int) -> None:
        """Make the repository beside its place, then move it there, so that a killed attempt leaves nothing half."""
        unfinished = self.paths.restic_repository.with_suffix(".unfinished")
        await self._ask(partial(shutil.rmtree, unfinished, ignore_errors=True))
        await self._run("init", lock=lock, repository=unfinished)
        await self._ask(partial(unfinished.rename, self.paths.restic_repository))

    async def _ask(self, question: Callable[[], T]) -> T:
        """Ask the repository's volume, in a thread of its own."""
        try:
            return await ask_repository(self.paths.repository, question)
        except OSError as error:
            raise BackupError(explain(error, Path(error.filename or self.paths.repository))) from error

    async def _store(self, lock: int, report: Report) -> None:
        """Make the snapshot. It bears the tag of an incomplete one until restic has said that everything was read."""
        exclude = [f"--exclude={pattern}" for pattern in EXCLUDED]
        options = [f"--host={self.site}", "--group-by=host", f"--tag={INCOMPLETE}", *exclude]
        try:
            output = await self._run(
                "backup",
                *options,
                str(self.paths.folders),
                lock=lock,
                deadline_seconds=BACKUP_SECONDS_MAX,
                on_line=lambda line: _progress(line, report),
            )
        except ProgramError as error:
            if error.code != _INCOMPLETE_CODE:
                raise
            words = explain_errors(error.lines) or "some files could not be read"
            raise BackupError(f"the backup of the files is incomplete: {words}") from error
        await self._run("tag", f"--remove={INCOMPLETE}", _snapshot_id(output), lock=lock)

    async def _run(
        self,
        *arguments: str,
        lock: int | None = None,
        repository: Path | None = None,
        deadline_seconds: float = COMMAND_SECONDS_MAX,
        on_line: Listener = lambda line: None,
    ) -> str:
        where = repository or self.paths.restic_repository
        argv = [
            "restic",
            f"--repo={where}",
            f"--password-file={self.paths.passphrase}",
            "--no-cache",
            "--json",
            *arguments,
        ]
        fds = () if lock is None else (lock,)
        try:
            return await self.programs.run(argv, deadline_seconds=deadline_seconds, on_line=on_line, pass_fds=fds)
        except ProgramError as error:
            if words := explain_errors(error.lines):
                raise ProgramError(f"restic {arguments[0]}: {words}", error.code, error.lines) from error
            raise


def _is_there(path: Path) -> bool:
    """Whether there is such a file. Raises BackupError if that cannot be known, which `Path.exists` takes for no."""
    try:
        path.stat()
    except FileNotFoundError:
        return False
    except OSError as error:
        raise BackupError(explain(error, path, "read")) from error
    return True


def _locked(path: Path) -> IO[bytes]:
    """Take our lock; the file holds it until it is closed. Raises BackupError if another process holds it."""
    file = os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, 0o600), "rb+")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        file.close()
        raise BackupError("another backup of the files is still running at this site: wait for its end") from error
    return file


def explain_errors(lines: tuple[str, ...]) -> str:
    """Give restic's errors in one line, at most three of them; empty if it printed none."""
    errors = [words for line in lines if (words := _error(_message(line)))]
    more = f" (and {len(errors) - 3} more)" if len(errors) > 3 else ""
    return "; ".join(errors[:3]) + more


def _error(message: dict[str, Any]) -> str:
    if message.get("message_type") == "exit_error":
        return str(message.get("message", ""))
    if message.get("message_type") == "error":
        return f"{message.get('item', '')}: {message.get('error', {}).get('message', '')}"
    return ""


def _progress(line: str, report: Report) -> None:
    """Turn restic's status line into progress."""
    message = _message(line)
    if message.get("message_type") == "status":
        report(f"backup at {100 * float(message.get('percent_done', 0)):.0f} %")


def _snapshot_id(output: str) -> str:
    """Give the id of the snapshot that restic has made, from its last line. Raises BackupError if it is not told."""
    last = output.rpartition("\n")[2]
    try:
        return str(_message(last)["snapshot_id"])
    except KeyError:
        raise BackupError(f"the answer of restic backup is not understood: {last[:200]}") from None


def _message(line: str) -> dict[str, Any]:
    """Read one of restic's lines of JSON; any other line is no message."""
    try:
        message = json.loads(line)
    except ValueError:
        return {}
    return message if isinstance(message, dict) else {}
