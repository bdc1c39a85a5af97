"""The few questions which the tool asks a cluster over the network: is everything ready, and take these manifests."""

import ssl
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

import httpx
import yaml

from local_cluster import identities, pki
from local_cluster.places import Cluster

REQUEST_TIMEOUT_SECONDS = 10.0
FIELD_MANAGER = "local-cluster"
KINDS: Mapping[str, str] = {
    "Namespace": "/api/v1/namespaces/{name}",
    "ServiceAccount": "/api/v1/namespaces/{namespace}/serviceaccounts/{name}",
    "ConfigMap": "/api/v1/namespaces/{namespace}/configmaps/{name}",
    "StorageClass": "/apis/storage.k8s.io/v1/storageclasses/{name}",
}


class Api:
    """A connection to a cluster's API server as its administrator, and to the components beside it."""

    def __init__(self, cluster: Cluster) -> None:
        context = ssl.create_default_context(cafile=cluster.pki / f"{pki.AUTHORITY}.crt")
        certificate = cluster.pki / f"{identities.ADMINISTRATOR}.crt"
        context.load_cert_chain(certificate, cluster.pki / f"{identities.ADMINISTRATOR}.key")
        # trust_env: a proxy that the environment names does not know the cluster's addresses.
        self._client = httpx.Client(
            base_url=cluster.server, verify=context, timeout=REQUEST_TIMEOUT_SECONDS, trust_env=False
        )
        self._cluster = cluster

    def ready(self) -> bool:
        """Tell whether the API server is ready for everything."""
        return self._answers_ok("/readyz")

    def node_ready(self, since: datetime | None) -> bool:
        """Tell whether the node is ready; with `since`, whether its kubelet said so after that time.

        A node stays Ready in the API for a while after its kubelet died; its lease tells when it last lived.
        """
        name = self._cluster.name
        node = self._get(f"/api/v1/nodes/{name}")
        lease = self._get(f"/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/{name}")
        if node is None or lease is None:
            return False
        conditions = {condition["type"]: condition["status"] for condition in node["status"].get("conditions", [])}
        renewed_at = datetime.fromisoformat(lease["spec"]["renewTime"])
        return conditions.get("Ready") == "True" and (since is None or renewed_at >= since)

    def dns_ready(self) -> bool:
        """Tell whether CoreDNS has read the cluster's Services."""
        return self._answers_ok(f"http://{self._cluster.addresses.node}:8181/ready")

    def proxy_ready(self) -> bool:
        """Tell whether kube-proxy has written the Services' rules."""
        return self._answers_ok(f"http://{self._cluster.addresses.node}:10256/healthz")

    def default_service_account_exists(self) -> bool:
        """Tell whether pods can be made: the first one in a namespace waits for this account."""
        return self._get("/api/v1/namespaces/default/serviceaccounts/default") is not None

    def apply(self, manifests: Iterable[Mapping[str, Any]]) -> None:
        """Apply objects on the server's side. Raises httpx.HTTPError if one is refused."""
        for manifest in manifests:
            metadata = manifest["metadata"]
            path = KINDS[manifest["kind"]].format(name=metadata["name"], namespace=metadata.get("namespace", ""))
            response = self._client.patch(
                path,
                params={"fieldManager": FIELD_MANAGER, "force": "true"},
                headers={"Content-Type": "application/apply-patch+yaml"},
                content=yaml.safe_dump(dict(manifest)),
            )
            response.raise_for_status()

    def _get(self, path: str) -> Any:
        """Read an object; None if it is not there, or the server does not answer."""
        try:
            response = self._client.get(path)
        except httpx.TransportError:
            return None
        return response.json() if response.status_code == httpx.codes.OK else None

    def _answers_ok(self, url: str) -> bool:
        try:
            return self._client.get(url).status_code == httpx.codes.OK
        except httpx.TransportError:
            return False
