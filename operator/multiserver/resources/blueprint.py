"""What the builders build from: the resource, and what the operator knows of each site besides."""

from dataclasses import dataclass

from multiserver.api.names import Names
from multiserver.api.spec import Cluster, Site


@dataclass(frozen=True)
class SitePlan:
    """One site with what was made or chosen for it."""

    site: Site
    server_number: int
    certificate_pem: str
    syncthing_device_id: str
    image: str
    """Image of the site's pod and of its backup jobs."""
    given_image: str
    """The image that the operator gave the site with its pod; it is the one above unless spec.image is set."""
    data_volume_bytes: int | None = None
    """Size of the data volume that the site has; None while it has none. A larger one that is declared may never come,
    as many a StorageClass refuses to enlarge a volume."""

    @property
    def name(self) -> str:
        """The site's name."""
        return self.site.name


@dataclass(frozen=True)
class Blueprint:
    """A whole cluster, ready to be built."""

    cluster: Cluster
    sites: tuple[SitePlan, ...]
    """Every site of the cluster, in any order."""
    operator_certificate_pem: str
    operator_namespace: str
    """Namespace of the operator's pod, which network policies let in."""
    leaving: tuple[SitePlan, ...] = ()
    """Sites that are no longer declared and still hand over what their peers lack; nothing is built for them."""
    opened: frozenset[str] = frozenset()
    """Sites, also leaving ones, whose data volume may hold what no other one does."""
    known_schema_site: str | None = None
    """The schema site as the cluster has it; None until the first site has opened."""

    @property
    def names(self) -> Names:
        """Names of the cluster's objects."""
        return Names(self.cluster.name, self.cluster.namespace)

    @property
    def by_server_number(self) -> tuple[SitePlan, ...]:
        """The sites in the order in which every text lists them, so that no text depends on the resource's order."""
        return tuple(sorted(self.sites, key=lambda plan: plan.server_number))

    @property
    def members(self) -> tuple[SitePlan, ...]:
        """All sites that speak with each other, also those that leave, by server number."""
        return tuple(sorted((*self.sites, *self.leaving), key=lambda plan: plan.server_number))

    @property
    def schema_site(self) -> str:
        """The site at which the application changes the schema; once there is one, no new site takes its place."""
        return self.known_schema_site or self.cluster.spec.schema_.site or self.by_server_number[0].name

    def donors(self, site: str) -> tuple[str, ...]:
        """Give the sites that a site without data copies from, the best first; with none it begins empty.

        That is every other site that was ever opened, whether or not it answers now: a site that waits for a donor can
        still become equal, one that began empty beside it could not. Sites that leave come last.
        """
        ordered = (*self.by_server_number, *self.leaving)
        others = (plan.name for plan in ordered if plan.name in self.opened and plan.name != site)
        return tuple(sorted(others, key=lambda name: name != self.schema_site))

    def plan(self, site: str) -> SitePlan:
        """Give the plan of a member. Raises KeyError, naming the known ones, if it is none of the cluster's."""
        for plan in self.members:
            if plan.name == site:
                return plan
        raise KeyError(f"{site} is no site of {self.cluster.name}; its sites are: {[p.name for p in self.members]}")
