"""How the last backup of each kind ended, kept on the site's data volume: no restart of the agent forgets a failure.

It is not kept beside the backups, since it is their volume that often fails, nor in the database, since it may be the
database that does. What cannot be read is told as a failure, until a backup succeeds.
"""

import asyncio
import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum
from functools import partial
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from multiserver.agent.loops import sentence
from multiserver.machine.atomic import write_whole
from multiserver.machine.disks import ask_disk

logger = logging.getLogger(__name__)

ANSWER_SECONDS = 5.0
"""How long the volume may take; a backup does not wait for longer with what it has to note."""


class State(StrEnum):
    """How far a backup is."""

    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"


@dataclass(frozen=True)
class Run:
    """One backup."""

    id: str
    kind: str
    state: State
    started: datetime
    ended: datetime | None = None
    progress: str = ""
    """What it is doing, in words."""
    message: str = ""
    """The result, or why it failed."""


_BY_KIND = TypeAdapter(dict[str, Run])


class LastRuns:
    """The file that holds the newest backup of each kind."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._earlier: dict[str, Run] | None = None
        self._turns = asyncio.Lock()

    async def earlier(self, kinds: Iterable[str]) -> dict[str, Run]:
        """Give the last backup of each kind that agents before this one have made; it is read once."""
        async with self._turns:
            if self._earlier is None:
                self._earlier = await self._read(kinds)
            return self._earlier

    async def keep(self, runs: Mapping[str, Run]) -> None:
        """Put down the newest backup of each kind. A volume that cannot be written is told in the log."""
        async with self._turns:
            try:
                write = partial(write_whole, self._path, _BY_KIND.dump_json(dict(runs)))
                await ask_disk(self._path.parent, write, ANSWER_SECONDS)
            except OSError as error:  # A timeout is one, too.
                logger.warning(
                    "%s cannot be written, so a restart forgets how the last backup ended: %s",
                    self._path,
                    sentence(error),
                )

    async def _read(self, kinds: Iterable[str]) -> dict[str, Run]:
        try:
            found = _BY_KIND.validate_json(await ask_disk(self._path.parent, self._path.read_bytes, ANSWER_SECONDS))
        except FileNotFoundError:
            return {}
        except (OSError, ValidationError) as error:
            logger.warning("%s cannot be read: %s", self._path, sentence(error))
            words = f"how it ended is not known, since {self._path} cannot be read; make another one"
            now = datetime.now(UTC)
            return {kind: Run(f"{kind}-unknown", kind, State.FAILED, now, now, message=words) for kind in kinds}
        return {kind: _ended(run) for kind, run in found.items()}


def _ended(run: Run) -> Run:
    """Give a backup as it is after a restart of the agent, which ends those that are under way."""
    if run.state is not State.RUNNING:
        return run
    return replace(run, state=State.FAILED, message="the agent ended in the middle of it")
