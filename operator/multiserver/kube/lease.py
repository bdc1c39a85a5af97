"""Leadership among the operator's replicas through a Lease: at most one acts at a time.

The holder renews the Lease long before it may be taken; whoever wants it takes it when it has seen no renewal for the
Lease's whole duration, by its own clock alone, so clocks need not agree. A holder that cannot renew in time stops its
work before another may begin. The client library's own election was not used: an API server that is not reached ends it
with the work still running.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from multiserver.kube.client import Kubernetes
from multiserver.kube.errors import ConflictError, KubernetesError

log = logging.getLogger(__name__)

Object = dict[str, Any]


class LeadershipLostError(Exception):
    """The Lease could not be renewed in time, so the work was cancelled; start over."""


class _TakenError(Exception):
    """Another holds the Lease."""


@dataclass(frozen=True)
class Lease:
    """Which Lease, and who wants it."""

    namespace: str
    name: str
    identity: str
    """A name that no other process has, for example the pod's name with a random part."""
    duration_seconds: int = 30
    """How long others wait after the last renewal that they saw."""
    renew_seconds: float = 8.0
    """The pause between two renewals, and between two looks of one who waits."""

    @property
    def give_up_seconds(self) -> float:
        """How long the holder goes on without a renewal that succeeded."""
        return self.duration_seconds * 2 / 3


class _Watched:
    """What a candidate last saw of the Lease, and when by its own clock."""

    def __init__(self) -> None:
        self._version = ""
        self._seen = 0.0
        self._holder = ""

    def unchanged_seconds(self, live: Object) -> float:
        """Tell for how long the Lease has been what it is."""
        version = live["metadata"]["resourceVersion"]
        if version != self._version:
            self._version, self._seen = version, time.monotonic()
        return time.monotonic() - self._seen

    def tell_holder(self, holder: str) -> None:
        """Log who leads, once."""
        if holder != self._holder:
            self._holder = holder
            log.info("%s leads; waiting for it to end", holder)


async def lead(kubernetes: Kubernetes, lease: Lease, work: Callable[[], Awaitable[None]]) -> None:
    """Wait for the Lease, do the work while holding it, and give it back when the work ends.

    Raises LeadershipLostError, after cancelling the work, if the Lease was lost meanwhile.
    """
    held = await _acquire(kubernetes, lease)
    log.info("%s leads (Lease %s/%s)", lease.identity, lease.namespace, lease.name)
    running = asyncio.ensure_future(work())
    renewing = asyncio.create_task(_renew(kubernetes, lease, held))
    try:
        await asyncio.wait({running, renewing}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        await _ended(running)
        lost = renewing.done()
        await _ended(renewing)
        if not lost:
            await _release(kubernetes, lease)
    if lost:
        raise LeadershipLostError(f"the Lease {lease.namespace}/{lease.name} was lost; the work was stopped")
    await running


async def _acquire(kubernetes: Kubernetes, lease: Lease) -> Object:
    """Wait until the Lease is ours and give it."""
    watched = _Watched()
    while True:
        try:
            if held := await _try_acquire(kubernetes, lease, watched):
                return held
        except ConflictError:
            log.debug("another one was faster")
        except KubernetesError as error:
            log.warning("no leadership yet: %s; tried again in %g s", error, lease.renew_seconds)
        await asyncio.sleep(lease.renew_seconds)


async def _try_acquire(kubernetes: Kubernetes, lease: Lease, watched: _Watched) -> Object | None:
    live = await kubernetes.find("Lease", lease.namespace, lease.name)
    if live is None:
        return await kubernetes.create(_held(lease, {"name": lease.name, "namespace": lease.namespace}, transitions=0))
    spec = live.get("spec", {})
    patience_seconds = max(lease.duration_seconds, spec.get("leaseDurationSeconds", 0))
    free = not spec.get("holderIdentity") or spec["holderIdentity"] == lease.identity
    if not free and watched.unchanged_seconds(live) < patience_seconds:
        watched.tell_holder(spec["holderIdentity"])
        return None
    return await kubernetes.replace(_held(lease, live["metadata"], spec.get("leaseTransitions", 0) + 1))


async def _renew(kubernetes: Kubernetes, lease: Lease, held: Object) -> None:
    """Renew again and again; ends when the Lease is lost."""
    last, pause_seconds = time.monotonic(), lease.renew_seconds
    while (left_seconds := last + lease.give_up_seconds - time.monotonic()) > 0:
        await asyncio.sleep(min(pause_seconds, left_seconds))
        # Others count from when the API server has it, which is later than this.
        started = time.monotonic()
        try:
            async with asyncio.timeout(last + lease.give_up_seconds - started):
                held = await _renewed(kubernetes, lease, held)
        except _TakenError:
            log.warning("the Lease %s/%s was taken by another", lease.namespace, lease.name)
            return
        except (TimeoutError, KubernetesError) as error:
            log.warning("the Lease is not renewed: %s", error or "no time is left")
            pause_seconds = lease.renew_seconds / 4
        else:
            last, pause_seconds = started, lease.renew_seconds


async def _renewed(kubernetes: Kubernetes, lease: Lease, held: Object) -> Object:
    """Renew once. Raises _TakenError if another has the Lease."""
    try:
        return await kubernetes.replace({**held, "spec": {**held["spec"], "renewTime": _now()}})
    except ConflictError:
        # Perhaps only the answer to an earlier renewal was lost, or someone put a label on it.
        live = await kubernetes.get("Lease", lease.namespace, lease.name)
        if live["spec"].get("holderIdentity") != lease.identity:
            raise _TakenError from None
        return await kubernetes.replace({**live, "spec": {**live["spec"], "renewTime": _now()}})


async def _release(kubernetes: Kubernetes, lease: Lease) -> None:
    """Let the next one begin at once. If that fails he begins a little later."""
    with contextlib.suppress(KubernetesError):
        live = await kubernetes.get("Lease", lease.namespace, lease.name)
        if live["spec"].get("holderIdentity") == lease.identity:
            await kubernetes.replace({**live, "spec": {**live["spec"], "holderIdentity": "", "renewTime": _now()}})


async def _ended(task: asyncio.Future[None]) -> None:
    """Cancel the task if it runs, and wait for its end; its outcome is not looked at."""
    task.cancel()
    await asyncio.wait({task})


def _held(lease: Lease, metadata: Object, transitions: int) -> Object:
    now = _now()
    spec = {
        "holderIdentity": lease.identity,
        "leaseDurationSeconds": lease.duration_seconds,
        "acquireTime": now,
        "renewTime": now,
        "leaseTransitions": transitions,
    }
    return {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": metadata, "spec": spec}


def _now() -> str:
    return f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S.%fZ}"
