"""What a cluster is like now: gathered here, shown by the command line."""

from dataclasses import asdict, dataclass
from typing import Any

from local_cluster import components, cuts, identities, network, pki, processes
from local_cluster.api import Api
from local_cluster.places import Cluster


@dataclass(frozen=True)
class Status:
    """The state of one cluster. `missing` are the components that do not run in its network."""

    name: str
    ready: bool
    missing: tuple[str, ...]
    kubeconfig: str
    kubectl: str
    audit_log: str
    logs: str
    containerd_socket: str
    network_namespace: str
    node_address: str
    pod_network: str
    service_network: str
    cuts_between_sites: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON wants it."""
        return asdict(self)


def of(cluster: Cluster) -> Status:
    """Look at one cluster. Asking changes nothing and fails on nothing."""
    missing = _missing(cluster)
    return Status(
        name=cluster.name,
        ready=not missing and pki.is_made(cluster.pki, identities.of(cluster)) and Api(cluster).node_ready(None),
        missing=missing,
        kubeconfig=str(cluster.kubeconfig),
        kubectl=str(cluster.checkout.kubectl),
        audit_log=str(cluster.audit_log),
        logs=str(cluster.logs),
        containerd_socket=str(cluster.containerd_socket),
        network_namespace=cluster.unique_name,
        node_address=str(cluster.addresses.node),
        pod_network=str(cluster.addresses.pods),
        service_network=str(cluster.addresses.services),
        cuts_between_sites=tuple(str(link) for link in sorted(cuts.between_sites(cluster))),
    )


def _missing(cluster: Cluster) -> tuple[str, ...]:
    running = processes.running(cluster)
    namespace = network.namespace_id(cluster)

    def runs(name: str) -> bool:
        return any(process.network_namespace_id == namespace for process in running.get(name, []))

    return tuple(component.name for component in components.all_components(cluster) if not runs(component.name))


def lines(found: list[Status], cuts_between_clusters: list[str]) -> list[str]:
    """Return the states as text for people."""
    if not found:
        return ["no clusters; start one with `up`"]
    text = []
    for one in found:
        state = "ready" if one.ready else f"not ready, repair with `up {one.name}`"
        text.append(f"{one.name}: {state}")
        if one.missing:
            text.append(f"  not running   {', '.join(one.missing)}")
        text.append(f"  kubeconfig    {one.kubeconfig}")
        text.append(f"  addresses     node {one.node_address}, pods {one.pod_network}, services {one.service_network}")
        text += [f"  cut           {link}" for link in one.cuts_between_sites]
    text += [f"cut: {link}" for link in cuts_between_clusters]
    return text
