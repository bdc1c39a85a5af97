"""The programs that make up one Kubernetes: their command lines, what they read, and the order of their start."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from local_cluster import identities as who
from local_cluster import pki
from local_cluster.config import kubeconfig_path
from local_cluster.places import Cluster

KUBERNETES_PROGRAMS = (
    "kube-apiserver",
    "kube-controller-manager",
    "kube-scheduler",
    "kube-proxy",
    "kubelet",
    "kubectl",
    "etcd",
    "coredns",
)
ETCD_CLIENTS = "http://127.0.0.1:2379"
ETCD_PEERS = "http://127.0.0.1:2380"


@dataclass(frozen=True)
class Component:
    """One program of a cluster, to be run as one process."""

    name: str
    arguments: tuple[str, ...]
    reads: tuple[Path, ...] = ()

    def command(self, cluster: Cluster) -> tuple[str, ...]:
        """The whole command line; its first word tells to which cluster a process belongs."""
        return (str(cluster.programs / self.name), *self.arguments)

    def fingerprint(self, cluster: Cluster) -> str:
        """A hash of the program, its command line and the files it reads: when it changes, a restart is due."""
        command = self.command(cluster)
        digest = hashlib.sha256("\0".join((str(Path(command[0]).resolve()), *command)).encode())
        for path in self.reads:
            digest.update(path.read_bytes())
        return digest.hexdigest()[:16]


def foundation(cluster: Cluster) -> list[Component]:
    """What must run before the API server: its database, and the container runtime, which needs nobody."""
    return [
        Component(
            "containerd",
            ("--config", str(cluster.config / "containerd.toml")),
            (cluster.config / "containerd.toml",),
        ),
        etcd(cluster),
    ]


def etcd(cluster: Cluster) -> Component:
    """The API server's database. Without fsync: it outlives a crash of any process, not one of the machine."""
    return Component(
        "etcd",
        (
            f"--data-dir={cluster.folder / 'etcd'}",
            f"--listen-client-urls={ETCD_CLIENTS}",
            f"--advertise-client-urls={ETCD_CLIENTS}",
            f"--listen-peer-urls={ETCD_PEERS}",
            f"--initial-advertise-peer-urls={ETCD_PEERS}",
            f"--initial-cluster=default={ETCD_PEERS}",
            "--unsafe-no-fsync",
        ),
    )


def api_server(cluster: Cluster) -> Component:
    """The API server.

    The kubelet is called by address: nobody resolves the node's name. The audit log is written before the answer
    is sent, so whoever got an answer finds the entry.
    """
    certificates = cluster.pki
    policy = cluster.config / "audit-policy.yaml"
    authority = certificates / f"{pki.AUTHORITY}.crt"
    accounts_key = certificates / f"{pki.SERVICE_ACCOUNT_KEY}.key"
    return Component(
        "kube-apiserver",
        (
            f"--etcd-servers={ETCD_CLIENTS}",
            f"--advertise-address={cluster.addresses.node}",
            "--secure-port=6443",
            f"--service-cluster-ip-range={cluster.addresses.services}",
            f"--client-ca-file={authority}",
            f"--tls-cert-file={certificates / f'{who.API_SERVER}.crt'}",
            f"--tls-private-key-file={certificates / f'{who.API_SERVER}.key'}",
            f"--cert-dir={certificates}",
            "--service-account-issuer=https://kubernetes.default.svc.cluster.local",
            f"--service-account-key-file={accounts_key}",
            f"--service-account-signing-key-file={accounts_key}",
            "--authorization-mode=Node,RBAC",
            "--enable-admission-plugins=NodeRestriction",
            "--allow-privileged=true",
            "--kubelet-preferred-address-types=InternalIP",
            f"--kubelet-certificate-authority={authority}",
            f"--kubelet-client-certificate={certificates / f'{who.API_SERVER_TO_KUBELET}.crt'}",
            f"--kubelet-client-key={certificates / f'{who.API_SERVER_TO_KUBELET}.key'}",
            f"--requestheader-client-ca-file={certificates / f'{pki.FRONT_PROXY_AUTHORITY}.crt'}",
            "--requestheader-username-headers=X-Remote-User",
            "--requestheader-group-headers=X-Remote-Group",
            "--requestheader-extra-headers-prefix=X-Remote-Extra-",
            f"--audit-policy-file={policy}",
            f"--audit-log-path={cluster.audit_log}",
            "--audit-log-mode=blocking",
            "--audit-log-maxsize=200",
            "--audit-log-maxbackup=2",
        ),
        (policy, certificates / pki.MADE_FOR),
    )


def workers(cluster: Cluster) -> list[Component]:
    """Everything that works through the API server."""
    return [
        controller_manager(cluster),
        _client(cluster, "kube-scheduler", "--leader-elect=false"),
        kubelet(cluster),
        kube_proxy(cluster),
        _with_reads(
            Component("coredns", ("-conf", str(cluster.config / "Corefile"))),
            cluster.config / "Corefile",
            kubeconfig_path(cluster, who.DNS),
        ),
        volumes(cluster),
    ]


def all_components(cluster: Cluster) -> list[Component]:
    """Every component in the order of its start; they are stopped in the reverse order."""
    return [*foundation(cluster), api_server(cluster), *workers(cluster)]


def controller_manager(cluster: Cluster) -> Component:
    """The controllers; they sign certificate requests and service account tokens with the cluster's keys."""
    return _client(
        cluster,
        "kube-controller-manager",
        "--leader-elect=false",
        "--use-service-account-credentials",
        f"--service-account-private-key-file={cluster.pki / f'{pki.SERVICE_ACCOUNT_KEY}.key'}",
        f"--root-ca-file={cluster.pki / f'{pki.AUTHORITY}.crt'}",
        f"--cluster-signing-cert-file={cluster.pki / f'{pki.AUTHORITY}.crt'}",
        f"--cluster-signing-key-file={cluster.pki / f'{pki.AUTHORITY}.key'}",
        f"--flex-volume-plugin-dir={cluster.folder / 'volume-plugins'}",
    )


def kubelet(cluster: Cluster) -> Component:
    """The node. Its zone is the cluster's name, so that several clusters differ in topology as sites do."""
    config = cluster.config / "kubelet.yaml"
    component = _client(
        cluster,
        "kubelet",
        f"--config={config}",
        f"--hostname-override={cluster.name}",
        f"--node-ip={cluster.addresses.node}",
        f"--node-labels=topology.kubernetes.io/zone={cluster.name}",
        f"--root-dir={cluster.folder / 'kubelet'}",
        f"--cert-dir={cluster.pki}",
    )
    return _with_reads(component, config)


def kube_proxy(cluster: Cluster) -> Component:
    """The Services' load balancer. It leaves the connection table's limits alone: they belong to the machine."""
    return _client(
        cluster,
        "kube-proxy",
        "--proxy-mode=nftables",
        f"--cluster-cidr={cluster.addresses.pods}",
        f"--hostname-override={cluster.name}",
        f"--healthz-bind-address={cluster.addresses.node}:10256",
        "--conntrack-max-per-core=0",
        "--conntrack-tcp-timeout-established=0",
        "--conntrack-tcp-timeout-close-wait=0",
    )


def volumes(cluster: Cluster) -> Component:
    """Makes a folder for every claim of the StorageClass local-path."""
    config, helper = cluster.config / "volumes.json", cluster.config / "volumes-helper.yaml"
    kubeconfig = kubeconfig_path(cluster, who.VOLUMES)
    return Component(
        "local-path-provisioner",
        (
            "start",
            f"--kubeconfig={kubeconfig}",
            f"--config={config}",
            f"--helper-pod-file={helper}",
        ),
        (config, helper, kubeconfig),
    )


def _client(cluster: Cluster, name: str, *arguments: str) -> Component:
    kubeconfig = kubeconfig_path(cluster, name)
    return Component(name, (f"--kubeconfig={kubeconfig}", *arguments), (kubeconfig,))


def _with_reads(component: Component, *paths: Path) -> Component:
    return Component(component.name, component.arguments, (*component.reads, *paths))
