"""One round for one cluster: observe, plan, act, report."""

import logging
from collections.abc import Callable

from multiserver.api.status import Status
from multiserver.control.act import Actor
from multiserver.control.observe import Observer
from multiserver.control.plan import plan
from multiserver.control.queue import Key, Outcome
from multiserver.control.report import report, report_unreadable, view_of
from multiserver.control.snapshot import Unreadable
from multiserver.kube.client import Kubernetes

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

    async def round(self, key: Key, changed: bool) -> Outcome:
        """Look at a cluster, do what is to do, and tell. Raises KubernetesError if the API server does not answer."""
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
