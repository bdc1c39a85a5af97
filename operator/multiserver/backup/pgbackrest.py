"""Backups of the data with pgBackRest. A repository's stanza is made by itself; a killed backup blocks nothing."""

import asyncio
import itertools
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import Literal

from multiserver.api.report import BackupReport
from multiserver.backup.catalogue import Stanza, data_report, full_kept, next_type, parse_info
from multiserver.backup.config import pgbackrest_argv
from multiserver.backup.errors import BackupError, ProgramError
from multiserver.backup.process import Listener, Programs
from multiserver.backup.repository import ask_repository
from multiserver.machine.volumes import write_problem
from multiserver.settings import POD, SitePaths

BACKUP_SECONDS_MAX = 12 * 3600.0
COMMAND_SECONDS_MAX = 120.0
LOCK_SECONDS_MAX = 60.0
LOCK_PAUSE_SECONDS = 1.0
WARNINGS_MAX = 3

BackupType = Literal["auto", "full", "incr"]
Report = Callable[[str], None]

_STANZA_OF_ANOTHER_SYSTEM = 28
_LOCKED = 50
_NOT_THE_LATEST = 106
"""The new backup's label, made of the time, does not come after that of the latest one."""
_PREFIX = re.compile(r"^\S+ \S+ P\d+ +(INFO|WARN|ERROR|DETAIL): +")
_PERCENT = re.compile(r"backup file .*, (?P<percent>[\d.]+)%\)")


@dataclass(frozen=True)
class PgBackRest:
    """pgBackRest of one site. Every method raises BackupError with a plain sentence."""

    paths: SitePaths = POD
    programs: Programs = field(default_factory=Programs)

    async def ensure_stanza(self) -> None:
        """Make the repository ready for this database, so that write-ahead log can be archived; nothing if it is.

        After a site's database was made anew its repository goes on under the new system id: the old backups stay
        listed and can be restored until they are past the recovery window.
        """
        try:
            await self._run("stanza-create")
        except ProgramError as error:
            if error.code != _STANZA_OF_ANOTHER_SYSTEM:
                raise
            await self._run("stanza-upgrade")

    async def info(self) -> Stanza:
        """Ask the repository what it holds."""
        return parse_info(
            await self._run("info", "--output=json", "--log-level-console=off", "--log-level-stderr=error")
        )

    async def report(self) -> BackupReport:
        """Give what the repository lists; one that cannot be read becomes the report's message."""
        try:
            return data_report(await self.info(), datetime.now(UTC))
        except BackupError as error:
            return BackupReport(message=str(error))

    async def back_up(self, report: Report, kind: BackupType = "auto") -> str:
        """Make a backup and give the result in words. `auto` is a full one weekly, else an incremental one.

        Archiving is proved first: a backup without its write-ahead log could never be restored. Old backups expire only
        once the new one is known to be sound: they may be all that is left of what is broken now.
        """
        if problem := await ask_repository(self.paths.repository, partial(write_problem, self.paths.repository)):
            raise BackupError(problem)
        report("checking the repository and archiving")
        await self.ensure_stanza()
        await self._run("check")
        chosen = next_type(await self.info(), datetime.now(UTC)) if kind == "auto" else kind
        report(f"{chosen} backup starts")
        await self._store(chosen, report)
        stored = await self.info()
        if stored.damage:
            raise BackupError(stored.damage)
        kept = full_kept(stored, datetime.now(UTC))
        keep = ("--repo1-retention-full-type=count", f"--repo1-retention-full={kept}")
        await self._run("expire", *keep, deadline_seconds=BACKUP_SECONDS_MAX)
        return _result(data_report(await self.info(), datetime.now(UTC)), chosen)

    async def _store(self, kind: str, report: Report) -> None:
        try:
            await self._run(
                "backup",
                f"--type={kind}",
                "--no-expire-auto",
                "--log-level-console=detail",
                deadline_seconds=BACKUP_SECONDS_MAX,
                on_line=_percent_listener(kind, report),
            )
        except ProgramError as error:
            if error.code != _NOT_THE_LATEST:
                raise
            cure = f"no {kind} one can be made before that time. Begin a new repository (docs/backups.md)"
            raise BackupError(f"{error}; the latest backup was made while the clock was wrong, and {cure}") from error

    async def _run(
        self,
        command: str,
        *options: str,
        deadline_seconds: float = COMMAND_SECONDS_MAX,
        on_line: Listener = lambda line: None,
    ) -> str:
        """Run a command; wait for the lock if another one holds it, for example the last workers of a killed backup."""
        argv = pgbackrest_argv(command, *options, paths=self.paths)
        give_up = time.monotonic() + LOCK_SECONDS_MAX
        while True:
            try:
                return await self.programs.run(argv, deadline_seconds=deadline_seconds, on_line=on_line)
            except ProgramError as error:
                if error.code != _LOCKED or time.monotonic() > give_up:
                    words = explain(error.lines)
                    message = f"pgbackrest {command}: {words}" if words else str(error)
                    raise ProgramError(message, error.code, error.lines) from error
            await asyncio.sleep(LOCK_PAUSE_SECONDS)


def explain(lines: tuple[str, ...]) -> str:
    """Give pgBackRest's error with its hints and the warnings that led to it, in one line; empty if it printed none."""
    start = next((index for index, line in enumerate(lines) if " ERROR: [" in line), None)
    if start is None:
        return ""
    hints = itertools.takewhile(lambda line: line.startswith(" "), lines[start + 1 :])
    warnings = [line for line in lines[:start] if " WARN: " in line]
    words = [_PREFIX.sub("", line) for line in warnings[-WARNINGS_MAX:]]
    error = " ".join([_PREFIX.sub("", lines[start]), *(line.strip() for line in hints)])
    return "; ".join([error, *words])


def _percent_listener(kind: str, report: Report) -> Listener:
    """Give a listener that turns pgBackRest's line on each stored file into progress, once for each percent."""
    reported = ""

    def listen(line: str) -> None:
        nonlocal reported
        if (match := _PERCENT.search(line)) and (words := f"{float(match['percent']):.0f} %") != reported:
            reported = words
            report(f"{kind} backup at {words}")

    return listen


def _result(listed: BackupReport, kind: str) -> str:
    """Say what was made, from what the repository lists now."""
    if listed.last_label is None:
        why = listed.message or "the repository lists no backup: check its volume"
        raise BackupError(f"pgbackrest backup ended well, yet {why}")
    size = (listed.last_size_bytes or 0) / 1e6
    return f"{kind} backup {listed.last_label} of {size:.1f} MB in {listed.last_duration_seconds:.0f} s"
