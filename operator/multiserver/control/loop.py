"""One round for one cluster: observe, plan, act, report."""

import logging
from collections.abc import Callable
from datetime import UTC, datetime

from multiserver.api.crd import KIND
from multiserver.api.status import Status
from multiserver.control.act import Actor
from multiserver.control.observe import Observer
from multiserver.control.plan import plan
from multiserver.control.queue import Key, Outcome
from multiserver.control.reading import failed
from multiserver.control.report import report, report_unreadable, view_of
from multiserver.control.snapshot import Unreadable
from multiserver.kube.client import Kubernetes
from multiserver.kube.errors import ConflictError, KubernetesError, NotFoundError, UnreachableError

log = logging.getLogger(__name__)

QUIET_SECONDS = 5.0
"""Between two looks at a cluster where nothing is seen to change: a cut link shows in the status this soon."""
BUSY_SECONDS = 1.0
"""After a round that changed something."""
UNREADABLE_SECONDS = 60.0
"""Between two looks at a resource that cannot be read; an edit of it is seen at once."""


class Loop:
    """The rounds of all clusters."""

    def __init__(self, kubernetes: Kubernetes, observer: Observer, tell: Callable[[Key, Status | None], None]) -> None:
        """Prepare; `tell` is called after each round with what is told of the cluster, None when it is gone."""
        self._kubernetes = kubernetes
        self._observer = observer
        self._tell = tell
        self._failing_since: dict[Key, datetime] = {}

    async def round(self, key: Key, changed: bool) -> Outcome:
        """Look at a cluster, do what is to do, and tell.

        Raises what went wrong. Whatever that is, the status does not go on saying what was known before; only where
        the API server does not answer, or a resource changed just then, the next round is waited for.
        """
        try:
            outcome = await self._round(key, changed)
        except (UnreachableError, ConflictError, NotFoundError):
            raise
        except Exception as error:
            await self._tell_failure(key, error)
            raise
        self._failing_since.pop(key, None)
        return outcome

    async def _tell_failure(self, key: Key, error: Exception) -> None:
        now = datetime.now(UTC)
        since = self._failing_since.setdefault(key, now)
        try:
            resource = await self._kubernetes.find(KIND, *key)
            if resource is not None:
                self._tell(key, await report_unreadable(self._kubernetes, failed(resource, error, since, now)))
        except KubernetesError as untold:
            log.warning("%s/%s: the status does not show that the round failed: %s", *key, untold)

    async def _round(self, key: Key, changed: bool) -> Outcome:
        seen = await self._observer.observe(key, changed)
        if seen is None:
            self._tell(key, None)
            return Outcome(gone=True)
        if isinstance(seen, Unreadable):
            log.warning("%s/%s: %s", *key, seen.why)
            self._tell(key, await report_unreadable(self._kubernetes, seen))
            return Outcome(again_seconds=UNREADABLE_SECONDS)
        planned = plan(seen.snapshot)
        done = await Actor(self._kubernetes, seen.snapshot.cluster, seen.sites, planned.blueprint).run(planned)
        if done.changed:
            self._observer.list_anew(key)
        self._tell(key, await report(self._kubernetes, seen.snapshot, view_of(seen.snapshot, planned, done)))
        return Outcome(again_seconds=BUSY_SECONDS if done.changed else QUIET_SECONDS)
