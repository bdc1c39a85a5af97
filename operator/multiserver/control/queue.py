"""One worker for each cluster, woken by events and by its own clock.

kopf's event handlers are edge-triggered and their errors are not retried, so they do nothing but wake a worker. A
worker runs one round at a time and looks at the whole each time; any number of wakes during a round, and in the pause
after it, cause one more.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from time import monotonic

from multiserver.kube.errors import KubernetesError
from multiserver.postgres.deadlines import all_ended

log = logging.getLogger(__name__)

ENDING_SECONDS = 20.0
"""How long the end waits for queries that were told to stop: over a line that swallows packets that takes its time."""

Key = tuple[str, str]
"""Namespace and name of a resource."""


@dataclass(frozen=True)
class Outcome:
    """What a round says of the next one."""

    gone: bool = False
    """The resource does not exist any more: the worker ends."""
    again_seconds: float = 5.0
    """The next round comes by itself after this time."""


Round = Callable[[Key, bool], Awaitable[Outcome]]
"""A round for a cluster; the flag says whether something was seen to change since the last one."""


@dataclass
class _Worker:
    woken: asyncio.Event = field(default_factory=asyncio.Event)
    task: asyncio.Task[None] | None = None
    last_round: float = field(default_factory=monotonic)


class Workers:
    """The workers of all clusters."""

    def __init__(
        self,
        run_round: Round,
        *,
        pause_seconds: float = 1.0,
        error_pause_seconds: float = 5.0,
        round_limit_seconds: float = 120.0,
    ) -> None:
        """Prepare; nothing runs until the first `wake`.

        Between two rounds are `pause_seconds` at the least, however often a worker is woken: another controller that
        takes back what a round did would else make it a loop without end.
        A round that fails is logged and tried again after `error_pause_seconds`; one that takes longer than
        `round_limit_seconds` is cancelled and counts as failed.
        """
        self._round = run_round
        self._pause_seconds = pause_seconds
        self._error_pause_seconds = error_pause_seconds
        self._round_limit_seconds = round_limit_seconds
        self._workers: dict[Key, _Worker] = {}
        self._stopped = False

    async def follow(self, watch: Callable[[Callable[[Key], None]], Awaitable[None]]) -> None:
        """Work for as long as `watch`, which is given `wake`, runs; raise what it raises.

        When this is cancelled, as where leadership is lost, the rounds end first: watches may take their time to.
        """
        self._stopped = False
        watching = asyncio.ensure_future(watch(self.wake))
        try:
            await asyncio.wait({watching})
        finally:
            await self.stop()
            watching.cancel()
            await asyncio.wait({watching})
        await watching

    def wake(self, key: Key) -> None:
        """Have the cluster looked at soon; starts its worker if it has none. After `stop` nothing happens."""
        if self._stopped:
            return
        worker = self._workers.setdefault(key, _Worker())
        worker.woken.set()
        if worker.task is None or worker.task.done():
            worker.task = asyncio.create_task(self._run(key, worker), name="/".join(key))

    def meet(self, key: Key) -> None:
        """Have a cluster looked at soon if it has no worker yet, since no event told of it."""
        if key not in self._workers:
            self.wake(key)

    async def stop(self) -> None:
        """Cancel all workers and wait for them; a round may be interrupted at any point."""
        self._stopped = True
        tasks = [worker.task for worker in self._workers.values() if worker.task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await all_ended(ENDING_SECONDS)
        self._workers.clear()

    def seconds_since_round(self) -> dict[Key, float]:
        """Give for each cluster how long ago its last round ended, in seconds: large values mean a stuck worker."""
        now = monotonic()
        return {key: now - worker.last_round for key, worker in self._workers.items()}

    async def _run(self, key: Key, worker: _Worker) -> None:
        while True:
            woken = worker.woken.is_set()
            worker.woken.clear()
            outcome = await self._bounded_round(key, woken)
            worker.last_round = monotonic()
            if outcome.gone and not worker.woken.is_set():
                self._workers.pop(key, None)
                return
            try:
                # Not asyncio.wait_for: until Python 3.12 it loses a cancellation that comes together with the wake.
                async with asyncio.timeout(outcome.again_seconds):
                    await asyncio.sleep(self._pause_seconds)
                    await worker.woken.wait()
            except TimeoutError:
                continue

    async def _bounded_round(self, key: Key, woken: bool) -> Outcome:
        try:
            async with asyncio.timeout(self._round_limit_seconds):
                return await self._round(key, woken)
        except KubernetesError as error:
            log.warning("%s/%s: %s; tried again in %.0f s", *key, error, self._error_pause_seconds)
        except TimeoutError:
            log.warning("%s/%s: a round took more than %.0f s and was broken off", *key, self._round_limit_seconds)
        except Exception:  # a worker must outlive any fault of one round
            log.exception("%s/%s: this round failed; the next one comes in %.0f s", *key, self._error_pause_seconds)
        return Outcome(again_seconds=self._error_pause_seconds)
