"""The identities of a Kubernetes' components: who may do what, by certificate."""

from local_cluster.pki import Identity
from local_cluster.places import Cluster

ADMINISTRATORS = "system:masters"
ADMINISTRATOR = "admin"
API_SERVER = "kube-apiserver"
API_SERVER_TO_KUBELET = "apiserver-kubelet-client"
KUBELET = "kubelet"
CONTROLLER_MANAGER = "kube-controller-manager"
SCHEDULER = "kube-scheduler"
PROXY = "kube-proxy"
DNS = "coredns"
VOLUMES = "local-path-provisioner"
SITE_ADDRESS = "site-address"

# Those who talk to the API server with a kubeconfig.
CLIENTS = (ADMINISTRATOR, KUBELET, CONTROLLER_MANAGER, SCHEDULER, PROXY, DNS, VOLUMES)


def of(cluster: Cluster) -> list[Identity]:
    """All identities for which the cluster's authority signs a certificate.

    Kubernetes brings the roles of its own components; the three additions of this tool are administrators, for
    nobody but this tool holds their keys.
    """
    node = str(cluster.addresses.node)
    service = "kubernetes.default.svc"
    return [
        Identity(
            API_SERVER,
            API_SERVER,
            dns_names=("kubernetes", "kubernetes.default", service, f"{service}.cluster.local", "localhost"),
            addresses=("127.0.0.1", node, str(cluster.addresses.api_service)),
        ),
        Identity(API_SERVER_TO_KUBELET, API_SERVER_TO_KUBELET, ADMINISTRATORS),
        Identity(KUBELET, f"system:node:{cluster.name}", "system:nodes", (cluster.name,), (node,)),
        Identity(CONTROLLER_MANAGER, f"system:{CONTROLLER_MANAGER}"),
        Identity(SCHEDULER, f"system:{SCHEDULER}"),
        Identity(PROXY, f"system:{PROXY}"),
        *(Identity(name, name, ADMINISTRATORS) for name in (ADMINISTRATOR, DNS, VOLUMES, SITE_ADDRESS)),
    ]
