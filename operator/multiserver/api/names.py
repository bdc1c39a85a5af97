"""Names, labels and ports of everything made from a resource, so that no builder spells its own."""

from dataclasses import dataclass

MANAGER = "multiserver-operator"
"""Field manager of every server-side apply, and the managed-by label."""

CLUSTER_LABEL = "multiserver.dev/cluster"
SITE_LABEL = "multiserver.dev/site"
COMPONENT_LABEL = "app.kubernetes.io/component"
MANAGED_BY_LABEL = "app.kubernetes.io/managed-by"
SERVER_NUMBER_ANNOTATION = "multiserver.dev/server-number"
"""On a site's identity Secret: the number given to the site, kept for good."""
GIVEN_IMAGE_ANNOTATION = "multiserver.dev/given-image"
"""On a site's StatefulSet: the image that the operator gave it, which it runs while spec.image is not set."""
MADE_BY_ANNOTATION = "multiserver.dev/made-by"
"""On a site's StatefulSet: the release of the operator that made the template of its pod."""
DECLARED_HASH_ANNOTATION = "multiserver.dev/declared-hash"
"""On a site's StatefulSet: the hash of what the resource declared for its pod when the pod was made."""
DESIRED_HASH_ANNOTATION = "multiserver.dev/desired-hash"
"""On every applied object: the hash of what was applied last."""
OPENED_ANNOTATION = "multiserver.dev/opened"
"""On a site's data volume, from just before the site first opens: the volume may hold what no other one does. While one
volume of a cluster has it, no site begins with an empty database; a new one copies."""
RESTART_HASH_ANNOTATION = "multiserver.dev/restart-hash"
"""On a server pod: the hash of the PostgreSQL settings that only a restart can change."""

VOLUME_PURPOSES = ("data", "files", "repository")
"""What the volumes of a site are for."""

POSTGRES_PORT = 5432
FILES_PORT = 22000
AGENT_PORT = 8443
PROBE_PORT = 8080

OPERATOR_CERTIFICATE_NAME = "operator"
SITE_CERTIFICATE_PREFIX = "site:"

PEER_ROLE = "multiserver_peer"
APPLY_ROLE = "multiserver_apply"
USER_ID = 10001
"""The user and group `postgres` of the images."""


@dataclass(frozen=True)
class Names:
    """Names of one cluster's objects, all in the cluster's namespace."""

    cluster: str
    namespace: str

    @property
    def any_site(self) -> str:
        """Service that leads to any ready site, the nearest preferred."""
        return self.cluster

    @property
    def disruption_budget(self) -> str:
        """PodDisruptionBudget of all sites together."""
        return self.cluster

    @property
    def operator_identity(self) -> str:
        """Secret with the operator's key and certificate for this cluster."""
        return f"{self.cluster}-operator-identity"

    @property
    def application(self) -> str:
        """Secret with the application's user, password and connection string."""
        return f"{self.cluster}-app"

    @property
    def backup_passphrase(self) -> str:
        """Secret with the passphrase of every backup repository."""
        return f"{self.cluster}-backup"

    def site(self, site: str) -> str:
        """StatefulSet, headless Service, ConfigMap, ServiceAccount and NetworkPolicy of a site."""
        return f"{self.cluster}-{site}"

    def pod(self, site: str) -> str:
        """The site's only pod."""
        return f"{self.site(site)}-0"

    def server(self, site: str) -> str:
        """Service with the site's address for workstations and peers."""
        return f"{self.site(site)}-server"

    def host(self, site: str) -> str:
        """Host name of that Service inside Kubernetes."""
        return f"{self.server(site)}.{self.namespace}.svc"

    def headless_host(self, site: str) -> str:
        """Host name that leads to the site's pod even while it is not ready."""
        return f"{self.site(site)}.{self.namespace}.svc"

    def identity(self, site: str) -> str:
        """Secret with the site's keys and certificates."""
        return f"{self.site(site)}-identity"

    def site_application(self, site: str) -> str:
        """Secret for clients at the site: as `application`, own site first in the connection string."""
        return f"{self.site(site)}-app"

    def volume(self, site: str, purpose: str) -> str:
        """PersistentVolumeClaim of a site; purpose is data, files or repository."""
        return f"{self.site(site)}-{purpose}"

    def backup_job(self, site: str, kind: str) -> str:
        """CronJob of a site's backups; kind is data or files."""
        return f"{self.site(site)}-backup-{kind}"

    def labels(self, site: str | None = None, component: str | None = None) -> dict[str, str]:
        """Labels of a child: the cluster, and the site and the component where it belongs to one.

        Not app.kubernetes.io/instance: tools that track by it would prune volumes and Secrets that outlive us.
        """
        labels = {
            "app.kubernetes.io/name": "multiserver",
            MANAGED_BY_LABEL: MANAGER,
            CLUSTER_LABEL: self.cluster,
        }
        if site:
            labels[SITE_LABEL] = site
        if component:
            labels[COMPONENT_LABEL] = component
        return labels

    def selector(self, site: str | None = None) -> dict[str, str]:
        """Labels that pick the server pods of the cluster, or of one site."""
        selector = {CLUSTER_LABEL: self.cluster, COMPONENT_LABEL: "server"}
        if site:
            selector[SITE_LABEL] = site
        return selector
