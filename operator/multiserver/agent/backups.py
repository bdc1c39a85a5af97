"""Backups on request: at most one of a kind at a time, each followed by its id until long after it ended."""

import asyncio
import logging
import secrets
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime

from multiserver.agent.last_runs import LastRuns, Run, State
from multiserver.agent.loops import sentence

logger = logging.getLogger(__name__)

REMEMBERED_MAX = 100

Report = Callable[[str], None]
MakeBackup = Callable[[Report], Awaitable[str]]
"""Makes a backup, reports its progress in words, and gives the result in words; raises if there is none."""


class BackupRuns:
    """All backups since the agent started, and the last of each kind before. `on_end` is told when one has ended."""

    def __init__(self, makers: Mapping[str, MakeBackup], on_end: Callable[[], None], kept: LastRuns) -> None:
        self._makers = makers
        self._on_end = on_end
        self._kept = kept
        self._runs: dict[str, Run] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}

    @property
    def kinds(self) -> tuple[str, ...]:
        """What can be backed up."""
        return tuple(self._makers)

    def get(self, run_id: str) -> Run | None:
        """Give the backup with this id; None if there is none, as after a restart of the agent."""
        return self._runs.get(run_id)

    def start(self, kind: str) -> Run:
        """Start a backup and give it; if one of this kind is under way, give that one instead."""
        running = next((run for run in self._runs.values() if run.kind == kind and run.state is State.RUNNING), None)
        if running:
            return running
        run = Run(f"{kind}-{secrets.token_hex(8)}", kind, State.RUNNING, datetime.now(UTC))
        self._remember(run)
        task = asyncio.create_task(self._make(run.id, self._makers[kind]), name=run.id)
        self._tasks[run.id] = task
        task.add_done_callback(lambda _: self._tasks.pop(run.id))
        return run

    async def last_failures(self) -> dict[str, Run]:
        """Give the last backup of each kind, where that one failed, even if it was an earlier agent's."""
        earlier = await self._kept.earlier(self.kinds)
        last = earlier | {run.kind: run for run in self._runs.values() if run.state is not State.RUNNING}
        return {kind: run for kind, run in last.items() if run.state is State.FAILED}

    async def finished(self, run_id: str) -> None:
        """Wait until the backup is no longer under way."""
        if task := self._tasks.get(run_id):
            await asyncio.wait({task})

    async def stop(self) -> None:
        """End the backups that are under way; the next one of their kind starts again."""
        tasks = tuple(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _make(self, run_id: str, make: MakeBackup) -> None:
        def progress(words: str) -> None:
            self._runs[run_id] = replace(self._runs[run_id], progress=words)

        logger.info("backup %s started", run_id)
        try:
            await self._note()
            message = await make(progress)
        except asyncio.CancelledError:
            await self._end(run_id, State.FAILED, "the agent was stopped")
            raise
        except Exception as error:  # noqa: BLE001 - whatever went wrong, whoever asked must learn that it failed
            await self._end(run_id, State.FAILED, sentence(error))
            logger.warning("backup %s failed: %s", run_id, sentence(error))
        else:
            await self._end(run_id, State.SUCCEEDED, message)
            logger.info("backup %s succeeded: %s", run_id, message)

    async def _end(self, run_id: str, state: State, message: str) -> None:
        self._runs[run_id] = replace(self._runs[run_id], state=state, ended=datetime.now(UTC), message=message)
        await self._note()
        self._on_end()

    async def _note(self) -> None:
        """Put down the newest backup of each kind, also one under way: the agent may be killed in the middle."""
        earlier = await self._kept.earlier(self.kinds)
        await self._kept.keep(earlier | {run.kind: run for run in self._runs.values()})

    def _remember(self, run: Run) -> None:
        """Take in a run, and forget the oldest that has ended if there are too many."""
        self._runs[run.id] = run
        if len(self._runs) > REMEMBERED_MAX:
            del self._runs[next(old.id for old in self._runs.values() if old.state is not State.RUNNING)]
