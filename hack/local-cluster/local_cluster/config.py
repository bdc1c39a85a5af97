"""The components' configuration files, rendered as text; nothing here touches the disk except to read certificates."""

import base64
import json
from pathlib import Path
from typing import Any

import yaml

from local_cluster import identities, pki
from local_cluster.images import BUSYBOX_IMAGE, PAUSE_IMAGE
from local_cluster.places import Cluster

CNI_PLUGINS = Path("/usr/lib/cni")
CLUSTER_DOMAIN = "cluster.local"
SITE_LABEL = "multiserver.dev/site"


def render(cluster: Cluster) -> dict[Path, str]:
    """All configuration files of a cluster with their content; its certificates must exist."""
    config = cluster.config
    files = {
        config / "containerd.toml": containerd(cluster),
        config / "cni" / "10-pods.conflist": pod_network(cluster),
        config / "kubelet.yaml": kubelet(cluster),
        config / "resolv.conf": f"nameserver {cluster.addresses.node}\n",
        config / "Corefile": dns(cluster),
        config / "audit-policy.yaml": audit_policy(),
        config / "volumes.json": volumes(cluster),
        config / "volumes-helper.yaml": volumes_helper(),
        cluster.kubeconfig: kubeconfig(cluster, identities.ADMINISTRATOR),
    }
    clients = {kubeconfig_path(cluster, user): kubeconfig(cluster, user) for user in identities.CLIENTS}
    return files | clients


def kubeconfig_path(cluster: Cluster, user: str) -> Path:
    """The kubeconfig of one component."""
    return cluster.config / f"{user}.kubeconfig"


def kubeconfig(cluster: Cluster, user: str) -> str:
    """A kubeconfig that holds its certificates itself, so that it can be copied."""

    def embedded(file: str) -> str:
        return base64.b64encode((cluster.pki / file).read_bytes()).decode()

    authority = embedded(f"{pki.AUTHORITY}.crt")
    user_data = {
        "client-certificate-data": embedded(f"{user}.crt"),
        "client-key-data": embedded(f"{user}.key"),
    }
    return _yaml(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [
                {
                    "name": cluster.name,
                    "cluster": {"server": cluster.server, "certificate-authority-data": authority},
                }
            ],
            "users": [{"name": user, "user": user_data}],
            "contexts": [{"name": cluster.name, "context": {"cluster": cluster.name, "user": user}}],
            "current-context": cluster.name,
        }
    )


def containerd(cluster: Cluster) -> str:
    """The container runtime's configuration: everything below the cluster's folder.

    restrict_oom_score_adj: without CAP_SYS_RESOURCE (a sandboxed machine) no pod could start otherwise.
    """
    return f"""\
version = 2
root = "{cluster.containerd}/root"
state = "{cluster.containerd}/state"
disabled_plugins = ["io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.btrfs", \
"io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.zfs", "io.containerd.tracing.processor.v1.otlp"]

[grpc]
  address = "{cluster.containerd_socket}"

[plugins."io.containerd.internal.v1.opt"]
  path = "{cluster.containerd}/opt"

[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{PAUSE_IMAGE}"
  restrict_oom_score_adj = true
  netns_mounts_under_state_dir = true

  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "overlayfs"

    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"

      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
        Root = "{cluster.containerd}/runc"

  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "{cluster.programs}"
    conf_dir = "{cluster.config}/cni"
"""


def pod_network(cluster: Cluster) -> str:
    """The pods' network: one cable each to the node (ptp), so that every packet between two pods is forwarded.

    With a bridge, packets between pods would pass the node's filter only where the kernel module br_netfilter says so,
    and cutting one site from another would depend on it.
    """
    address_management = {
        "type": "host-local",
        "dataDir": str(cluster.folder / "pod-addresses"),
        "ranges": [[{"subnet": str(cluster.addresses.pods)}]],
        "routes": [{"dst": "0.0.0.0/0"}],
    }
    site_address = {
        "type": "site-address",
        "apiServer": cluster.server,
        "certificateAuthority": str(cluster.pki / f"{pki.AUTHORITY}.crt"),
        "certificate": str(cluster.pki / f"{identities.SITE_ADDRESS}.crt"),
        "key": str(cluster.pki / f"{identities.SITE_ADDRESS}.key"),
    }
    plugins = [{"type": "ptp", "ipam": address_management}, site_address]
    return json.dumps({"cniVersion": "1.0.0", "name": cluster.unique_name, "plugins": plugins}, indent=2) + "\n"


def kubelet(cluster: Cluster) -> str:
    """The kubelet's configuration; limits are set so that a full disk of the machine does not evict test pods."""
    return _yaml(
        {
            "apiVersion": "kubelet.config.k8s.io/v1beta1",
            "kind": "KubeletConfiguration",
            "authentication": {
                "anonymous": {"enabled": False},
                "webhook": {"enabled": True},
                "x509": {"clientCAFile": str(cluster.pki / f"{pki.AUTHORITY}.crt")},
            },
            "authorization": {"mode": "Webhook"},
            "tlsCertFile": str(cluster.pki / f"{identities.KUBELET}.crt"),
            "tlsPrivateKeyFile": str(cluster.pki / f"{identities.KUBELET}.key"),
            "address": str(cluster.addresses.node),
            "clusterDNS": [str(cluster.addresses.node)],
            "clusterDomain": CLUSTER_DOMAIN,
            "resolvConf": str(cluster.config / "resolv.conf"),
            "containerRuntimeEndpoint": f"unix://{cluster.containerd_socket}",
            "cgroupDriver": "cgroupfs",
            "cgroupRoot": cluster.cgroup,
            "failCgroupV1": False,
            "failSwapOn": False,
            "podLogsDir": str(cluster.logs / "pods"),
            "volumePluginDir": str(cluster.folder / "volume-plugins"),
            "oomScoreAdj": 0,
            "maxPods": 250,
            "imageGCHighThresholdPercent": 100,
            "evictionHard": {"memory.available": "50Mi", "nodefs.available": "1%", "imagefs.available": "1%"},
        }
    )


def dns(cluster: Cluster) -> str:
    """CoreDNS's configuration: names of the cluster only; every other name does not exist."""
    return f"""\
.:53 {{
  bind {cluster.addresses.node}
  errors
  ready {cluster.addresses.node}:8181
  kubernetes {CLUSTER_DOMAIN} in-addr.arpa . {{
    kubeconfig {kubeconfig_path(cluster, identities.DNS)}
  }}
  cache 5
}}
"""


def audit_policy() -> str:
    """Record who wrote what, without the bodies; reading is not recorded."""
    return _yaml(
        {
            "apiVersion": "audit.k8s.io/v1",
            "kind": "Policy",
            "omitStages": ["RequestReceived"],
            "rules": [
                {"level": "None", "verbs": ["get", "list", "watch"]},
                {"level": "Metadata"},
            ],
        }
    )


def volumes(cluster: Cluster) -> str:
    """local-path-provisioner's configuration: below which folder it makes the volumes' folders."""
    paths = [{"node": "DEFAULT_PATH_FOR_NON_LISTED_NODES", "paths": [str(cluster.volumes)]}]
    return json.dumps({"nodePathMap": paths}, indent=2) + "\n"


def volumes_helper() -> str:
    """The pod that makes or removes a volume's folder by the scripts of manifests/volumes.yaml."""
    container = {"name": "helper-pod", "image": BUSYBOX_IMAGE, "imagePullPolicy": "Never"}
    spec = {"priorityClassName": "system-node-critical", "containers": [container]}
    return _yaml({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "helper-pod"}, "spec": spec})


def _yaml(document: dict[str, Any]) -> str:
    return yaml.safe_dump(document, sort_keys=False)
