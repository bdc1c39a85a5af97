"""What is, at one moment: the resource, its children, and what each site's database and agent say. Plain data."""

from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from multiserver.api.names import SITE_LABEL, Names
from multiserver.api.report import SiteReport
from multiserver.api.spec import Cluster
from multiserver.api.status import Status
from multiserver.health.reasons import Reason
from multiserver.replication.observe import DatabaseFacts

Object = Mapping[str, Any]


@dataclass(frozen=True)
class SiteSeen:
    """What a site itself said. A part that did not answer is None, and `error` says why."""

    system_id: str | None = None
    """PostgreSQL's system identifier, if the server answers at all."""
    database: DatabaseFacts | None = None
    """What the application's database says; None too if it is not made yet."""
    report: SiteReport | None = None
    """The newest report known: the agent's own answer, or the copy that a peer's database holds."""
    report_is_live: bool = False
    """Whether the agent itself answered in this round."""
    error: str = ""
    """Why a part did not answer; empty if all did."""
    since: datetime | None = None
    """Since when there is an error."""


@dataclass(frozen=True)
class Snapshot:
    """Everything the plan may know. It holds the time, so that the plan needs no clock."""

    now: datetime
    cluster: Cluster
    status: Status
    """The status as last written."""
    objects: Mapping[tuple[str, str], Object]
    """Live children and pods by kind and name, from an authoritative list."""
    site_image: str
    """The image that the operator gives a site that has none yet."""
    operator_namespace: str
    """Where the operator's own pod runs."""
    sites: Mapping[str, SiteSeen] = field(default_factory=dict)
    warnings: tuple[Object, ...] = ()
    """Warning events of the cluster's children."""

    @property
    def names(self) -> Names:
        """Names of this cluster's objects."""
        return Names(self.cluster.name, self.cluster.namespace)

    @property
    def leaving(self) -> tuple[str, ...]:
        """The sites that are no longer declared and still have their server, by name."""
        declared = {site.name for site in self.cluster.spec.sites}
        running = {
            item["metadata"].get("labels", {}).get(SITE_LABEL, "")
            for (kind, _), item in self.objects.items()
            if kind == "StatefulSet" and not item["metadata"].get("deletionTimestamp")
        }
        named = {name for name in running if name and self.get("StatefulSet", self.names.site(name))}
        return tuple(sorted(named - declared))

    def without(self, sites: Container[str]) -> "Snapshot":
        """Give what there would be if these sites were not declared."""
        spec = self.cluster.spec
        fewer = spec.model_copy(update={"sites": [site for site in spec.sites if site.name not in sites]})
        return replace(self, cluster=self.cluster.model_copy(update={"spec": fewer}))

    def get(self, kind: str, name: str) -> Object | None:
        """Give a live object, or None."""
        return self.objects.get((kind, name))

    def seen(self, site: str) -> SiteSeen:
        """Give what a site said; nothing if it was not asked yet."""
        return self.sites.get(site, SiteSeen())


@dataclass(frozen=True)
class Unreadable:
    """A resource whose specification this operator cannot read, or with which it fails; nothing else is known."""

    now: datetime
    name: str
    namespace: str
    uid: str
    generation: int
    status: Status
    """The status as last written."""
    why: str
    """What is wrong, since when, and the way out."""
    reason: Reason = Reason.RESOURCE_UNREADABLE


def by_kind_and_name(objects: Iterable[Object]) -> dict[tuple[str, str], Object]:
    """Index live objects."""
    return {(item["kind"], item["metadata"]["name"]): item for item in objects}
