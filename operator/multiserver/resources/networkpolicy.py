"""Who may reach a site's server and whom it may reach."""

from typing import Any

from multiserver.api.names import AGENT_PORT, CLUSTER_LABEL, FILES_PORT, POSTGRES_PORT, PROBE_PORT
from multiserver.resources.blueprint import Blueprint
from multiserver.resources.objects import Object, named

_DNS_PORTS = (53, 5353)
"""A policy sees the port of the pod that answers, not of the Service: OpenShift's DNS pods listen on the second."""


def network_policy(blueprint: Blueprint, site: str) -> Object:
    """Build the site's NetworkPolicy.

    Anyone may come to PostgreSQL, which asks for a password or certificate, and read the metrics. Syncthing and the
    agent are for the cluster's own pods and the operator. The server itself goes to its peers and to DNS, nowhere else.
    """
    cluster_pods = {"podSelector": {"matchLabels": {CLUSTER_LABEL: blueprint.cluster.name}}}
    operator = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": blueprint.operator_namespace}}}
    return named(
        "networking.k8s.io/v1/NetworkPolicy",
        blueprint.names.site(site),
        blueprint.cluster,
        site=site,
        component="server",
        spec={
            "podSelector": {"matchLabels": blueprint.names.selector(site)},
            "policyTypes": ["Ingress", "Egress"],
            "ingress": [
                {"ports": _tcp(POSTGRES_PORT, PROBE_PORT)},
                {"from": [cluster_pods, operator], "ports": _tcp(FILES_PORT, AGENT_PORT)},
            ],
            "egress": [
                {"to": [cluster_pods], "ports": _tcp(POSTGRES_PORT, FILES_PORT, AGENT_PORT)},
                {"ports": [{"port": port, "protocol": protocol} for port in _DNS_PORTS for protocol in ("UDP", "TCP")]},
            ],
        },
    )


def _tcp(*ports: int) -> list[dict[str, Any]]:
    return [{"port": port, "protocol": "TCP"} for port in ports]
