"""Where everything of a checkout and of a cluster is: names and paths, all derived from the checkout's path."""

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

from local_cluster.addresses import ClusterAddresses
from local_cluster.errors import LocalClusterError

MACHINE_FOLDER = Path("/var/lib/multiserver-local")
CLUSTER_NAME = re.compile(r"[a-z]([a-z0-9-]{0,28}[a-z0-9])?")


def check_name(name: str) -> str:
    """Return the name if a cluster may have it."""
    if not CLUSTER_NAME.fullmatch(name):
        raise LocalClusterError(
            f"{name!r} cannot be the name of a cluster: it is also a host name, so it has 1 to 30 small letters, "
            "digits and hyphens, a letter first and no hyphen last"
        )
    return name


@dataclass(frozen=True)
class Checkout:
    """One working copy of the project; everything it makes outside itself carries its id."""

    root: Path

    @property
    def id(self) -> str:
        """Six hexadecimal digits of the path's hash: short, because network devices have names of 15 characters."""
        return hashlib.sha256(str(self.root).encode()).hexdigest()[:6]

    @property
    def folder(self) -> Path:
        """The state of all clusters of this checkout."""
        return MACHINE_FOLDER / self.id

    @property
    def bridge(self) -> str:
        """The network device that connects the checkout's clusters; its nftables tables have the same name."""
        return f"ms-{self.id}"

    @property
    def lock(self) -> Path:
        """The lock file of those who change this checkout's clusters."""
        return MACHINE_FOLDER / f"{self.id}.lock"

    @property
    def kubectl(self) -> Path:
        """The link to kubectl."""
        return self.folder / "kubectl"


@dataclass(frozen=True)
class Cluster:
    """One Kubernetes: its names and the paths of its files."""

    checkout: Checkout
    name: str
    addresses: ClusterAddresses

    @property
    def unique_name(self) -> str:
        """The name no other cluster of this machine has: of its network namespace, control group, pod network."""
        return f"{self.checkout.bridge}-{self.name}"

    @property
    def folder(self) -> Path:
        """Everything this cluster has on disk."""
        return self.checkout.folder / self.name

    @property
    def network_namespace(self) -> Path:
        """The file that stands for the cluster's network namespace."""
        return Path("/run/netns") / self.unique_name

    @property
    def bridge_port(self) -> str:
        """The machine's end of the cluster's network cable."""
        return f"{self.checkout.bridge}-{self.addresses.cluster_number}"

    @property
    def cgroup(self) -> str:
        """The control group of all its pods, as the kubelet wants it."""
        return f"/{self.unique_name}"

    @property
    def programs(self) -> Path:
        """Links to the programs; a process of this cluster is known by having been called through one of them."""
        return self.folder / "bin"

    @property
    def pki(self) -> Path:
        """Keys and certificates."""
        return self.folder / "pki"

    @property
    def config(self) -> Path:
        """The components' configuration files."""
        return self.folder / "config"

    @property
    def logs(self) -> Path:
        """One log file for each component."""
        return self.folder / "logs"

    @property
    def audit_log(self) -> Path:
        """The API server's record of every write: one JSON object a line."""
        return self.logs / "audit.log"

    @property
    def containerd(self) -> Path:
        """The container runtime's data."""
        return self.folder / "containerd"

    @property
    def containerd_socket(self) -> Path:
        """The container runtime's socket."""
        return self.folder / "containerd.sock"

    @property
    def volumes(self) -> Path:
        """The folders behind the PersistentVolumes."""
        return self.folder / "volumes"

    @property
    def server(self) -> str:
        """The URL of the API server."""
        return f"https://{self.addresses.node}:6443"

    @property
    def kubeconfig(self) -> Path:
        """The administrator's kubeconfig."""
        return self.folder / "kubeconfig"
